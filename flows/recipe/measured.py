"""The metrics that each gate can judge, named as its bounds name them; a name that is not here is refused before a run.

A metric stands here as well if a run may leave it out, as when no text is long enough for a question.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from typing import TYPE_CHECKING

from data.tokens.config import CONVERSATIONS
from model.evaluation.config import EvaluateConfig
from model.networks.base import NetworkBase

if TYPE_CHECKING:
    from flows.recipe.schema import Recipe

SPLITS = ("train", "val", "test")
INTERVAL = ("", "_error", "_low", "_high")
FAULTS = (
    *("boilerplate", "corrupted_block", "cp1252", "curly_quote", "hard_wrap", "hyphenation", "misread", "mojibake", "page_number"),
    "running_head",
)
# Scores of a generated universe, whose clean text is known.
SCORES = (
    *("clean_recall", "clean_recall_mean", "clean_precision", "false_edit_share", "paragraphs_intact", "headings_kept"),
    *("documents_cleaned", "document_dedup_precision", "document_dedup_recall", "page_dedup_recall", "dedup_false_share"),
    *("ledger_duplicates", *(f"clean_recall_{fault}" for fault in FAULTS)),
)
COUNTS = ("rows", "tokens", "targets", "bytes", "padding_fraction", "documents", "separated_fraction", "left_out_fraction", "cut_documents")
COUNTED = ("ngram", "unigram")  # baselines whose figures are kept row by row
WITH_UNKNOWN = ("character", "word", "wordpiece", "unigram")  # tokenizers that have a token for what they can't write


def metrics_of(recipe: Recipe, chapter: str) -> list[str]:
    """Return the names of all metrics that the gate of a chapter can judge."""
    if chapter == "corpus":
        return [f"corpus.{name}" for name in _audited(recipe)]
    found = [
        f"{position}.{name}"
        for position in evaluations(recipe, chapter)
        for name in _evaluated(*evaluated_at(recipe, position), recipe.examples.tested_skills)
    ]
    if recipe.pack.by_source:
        found += [name for position in evaluations(recipe, chapter) for name in _by_source(recipe, position)]
    found += [f"baseline.{name}" for name in _compared(recipe)]
    return found + ([f"pack.{name}" for name in _packed(recipe)] if chapter == "base" else [])


def evaluations(recipe: Recipe, chapter: str) -> list[str]:
    """Return the models whose measurements a chapter's gate sees: its own first, then those that it may be compared with."""
    variants = [variant.name for variant in recipe.release.variants]
    opened = ["opened"] if recipe.base is not None and recipe.pretrains else []
    found = {"base": ["base"], "chat": ["chat", "base"], "release": ["release", *variants, "chat", "base"]}[chapter]
    return [*found, *opened]


def evaluated_at(recipe: Recipe, position: str) -> tuple[EvaluateConfig, NetworkBase]:
    """Return what is measured of the model at a position, and its network."""
    chapter = position if position in ("base", "chat") else "base" if position == "opened" else "release"
    return getattr(recipe.evaluate, chapter), recipe.model


def switches_of(metric: str, evaluated: EvaluateConfig, section: str) -> str:
    """Return what would have to be set for an evaluation to measure `metric`, such as `val.loss`; empty if nothing would."""
    first = metric.partition(".")[0]
    if first in SPLITS and first not in evaluated.splits:
        return f"{section}splits with {first}"
    if first in ("questions", "copying", "skills") and not getattr(evaluated, first):
        return f"{section}{first}=true"
    return {"probe": f"an entry of {section}probes", "thinking": f"{section}thinking with that budget or vote"}.get(first, "")


def _audited(recipe: Recipe) -> Iterator[str]:
    stages = ["ingest", "clean", *(["filter"] if recipe.filter.active else []), "dedup"]
    stages += [*(["decontaminate"] if recipe.decontaminate.against else []), "split"]
    for what in ("documents", "characters"):
        yield from (f"{what}_kept", f"{what}_in", *(f"{what}_removed_{stage}" for stage in stages))
    yield from ("balanced", "quarantined_files", "title_mismatches", "synthetic_share")
    yield from _joined(("leak_val", "leak_test", "leak_test_val"), ("", "_documents", "_longest", "_worst"))
    if recipe.universe is not None:
        yield from SCORES


def _packed(recipe: Recipe) -> Iterator[str]:
    counts = (*COUNTS, *(["unknown"] if recipe.tokenizer.kind in WITH_UNKNOWN else []))
    sources = [source.label for source in recipe.ingest.sources]
    for split in SPLITS:
        yield from (f"{split}_{count}" for count in counts)
        mixed = [CONVERSATIONS] if split == "train" and recipe.pack.instruction_fraction else []
        yield from (f"{split}_{what}_{source}" for what in ("tokens", "separated", "left_out", "padding") for source in [*sources, *mixed])
    yield from ("instruction_rows", "instruction_rounds", "removed", "quarantined")


def _compared(recipe: Recipe) -> Iterator[str]:
    for split in recipe.baseline.splits:
        yield from (f"{name}.{split}.bits_per_byte" for name in (*COUNTED, "zstd", "zstd_after_train", "xz"))
        yield from (f"{name}.{split}.loss" for name in COUNTED)
        yield f"{split}.documents_in_train"
    yield from ("chance.questions.seen", "chance.questions.heldout", "train.rows", "ngram.rows_counted")


def _evaluated(evaluated: EvaluateConfig, network: NetworkBase, skills: tuple[str, ...]) -> Iterator[str]:
    for split in evaluated.splits:
        yield f"{split}.rows"
        if "causal" in network.SUPPORTS:
            yield from _joined((f"{split}.loss", f"{split}.bits_per_byte"), INTERVAL)
            yield from (f"{split}.targets", *_joined((f"{split}.perplexity",), ("", "_low", "_high")))
        if "bidirectional" in network.SUPPORTS:
            yield from (f"{split}.hidden", *_joined((f"{split}.masked_loss", f"{split}.masked_accuracy"), INTERVAL))
    if evaluated.questions:
        sets = ("seen", "heldout", *evaluated.question_sets)
        declined = ("_declined",) if "unknown" in sets else ()
        yield from _joined([f"questions.{name}" for name in sets], (*INTERVAL, "_count", "_unasked", *declined))
        if evaluated.earlier_questions:
            yield from _joined([f"questions.{name}_later" for name in sets], INTERVAL)
    for skill in skills if evaluated.skills else ():
        yield from _joined((f"skills.{skill}",), (*INTERVAL, "_count", "_unasked", ".baseline"))
        yield from _joined((f"skills.{skill}.gain", f"skills.{skill}.heldout"), INTERVAL)
    if evaluated.copying:
        yield from ("copying.longest", "copying.count", *_joined(("copying.share", "copying.baseline"), INTERVAL))
    yield from evaluated.thinking.metrics if evaluated.thinking else ()
    yield from (probe.metric for probe in evaluated.probes)


def _by_source(recipe: Recipe, position: str) -> Iterator[str]:
    evaluated, network = evaluated_at(recipe, position)
    if "causal" in network.SUPPORTS:
        for split, source in product(evaluated.splits, recipe.ingest.sources):
            yield f"{position}.{split}.{source.label}.rows"
            yield from (f"{position}.{split}.{source.label}.bits_per_byte{ending}" for ending in INTERVAL)


def _joined(names: Iterable[str], endings: Iterable[str]) -> Iterator[str]:
    return map("".join, product(names, endings))
