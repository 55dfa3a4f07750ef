"""Bounds of gates on what nothing measures, each with the nearest name or what would have to be set.

A gate fails closed, so such a bound would end a run after all the work that it judges.

The metrics that each gate can judge, named as its bounds name them; a name that is not here is refused before a run.

A metric stands here as well if a run may leave it out, as when no text is long enough for a question.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import product
from typing import TYPE_CHECKING

from data.examples.config import ConversationExamples, PictureExamples
from data.shards.names import DEPTHS, SPLITS
from data.sources.config import PicturesSource
from data.tokens.config import CONVERSATIONS
from data.universe.config import UniverseExamples
from model.aims.protocol import SPLIT, StepGate
from model.evaluation.config import INTERVAL, EvaluateConfig
from model.evaluation.gate import MOST_TIMES_THE_BITS
from model.evaluation.metrics import LIMITS, per_split, unmeasured
from model.networks.base import NetworkBase
from model.pairing.config import ConstitutionPairs
from tasks.stage.system.command_line import did_you_mean

if TYPE_CHECKING:
    from flows.recipe.schema import Recipe
    from model.evaluation.gate import Bound
    from model.training.config import TuningStep

COUNTED_OF = {"causal": "targets", "bidirectional": "hidden", "infilling": "hidden"}  # what is counted of a split beside its metrics
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
        judged = _judged() if recipe.judging else ()
        return [*(f"corpus.{name}" for name in _audited(recipe)), *(f"judgements.{name}" for name in judged)]
    found = [
        f"{position}.{name}"
        for position in evaluations(recipe, chapter)
        for name in _evaluated(*evaluated_at(recipe, position), recipe.examples.tested_skills)
    ]
    if recipe.pack.by_source:
        found += [name for position in evaluations(recipe, chapter) for name in _by_source(recipe, position)]
    found += [f"baseline.{name}" for name in _baseline_metrics(recipe)]
    if chapter == "release" and recipe.index and recipe.index.evaluate:
        found += [f"documents.{name}" for name in _consulted(recipe)]
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


def _consulted(recipe: Recipe) -> Iterator[str]:
    ways = ("", "words.", "vectors.") if recipe.index and recipe.index.vectors else ("",)
    found = [f"{way}recall_at_{depth}" for way in ways for depth in DEPTHS]
    found += ["closed", "documents", "gain", "cited", "citations_right"]
    if recipe.base is not None:
        found += [f"{which}.{how}" for which in ("untouched", "tuning") for how in ("closed", "documents")]
    if recipe.index and recipe.index.evaluate and recipe.index.evaluate.declined:
        found += ["declined", "declined_wrongly"]
    yield from ("questions", "shown", *_joined(found, INTERVAL))


def _audited(recipe: Recipe) -> Iterator[str]:
    stages = ["ingest", "clean", *(["filter"] if recipe.filter.active else []), "dedup"]
    stages += [*(["decontaminate"] if recipe.decontaminate.against else []), "split"]
    for what in ("documents", "characters"):
        yield from (f"{what}_kept", f"{what}_in", *(f"{what}_removed_{stage}" for stage in stages))
    yield from ("balanced", "quarantined_files", "title_mismatches", "synthetic_share")
    yield from _joined(("leak_val", "leak_test", "leak_test_val"), ("", "_documents", "_longest", "_worst"))
    if recipe.universe is not None:
        yield from SCORES


def _judged() -> Iterator[str]:
    yield from ("lines", "set_aside", "judges", "questions", "several_judges", "preferences", "labels", "instructions")
    yield from ("used", "outvoted", "tied", "neither", "replaced", "withdrawn", "withdrawal", "without")
    yield from _joined(("preference_alpha", "label_alpha"), LIMITS)


def _packed(recipe: Recipe) -> Iterator[str]:
    counts = (*COUNTS, *(["unknown"] if recipe.tokenizer.kind in WITH_UNKNOWN else []))
    sources = [source.label for source in recipe.ingest.sources]
    for split in SPLITS:
        yield from (f"{split}_{count}" for count in counts)
        mixed = [CONVERSATIONS] if split == "train" and recipe.pack.instruction_fraction else []
        yield from (f"{split}_{what}_{source}" for what in ("tokens", "separated", "left_out", "padding") for source in [*sources, *mixed])
    yield from ("instruction_rows", "instruction_rounds", "removed", "quarantined")


def _baseline_metrics(recipe: Recipe) -> Iterator[str]:
    for split in recipe.baseline.splits:
        yield from (f"{name}.{split}.bits_per_byte" for name in (*COUNTED, "zstd", "zstd_after_train", "xz"))
        yield from (f"{name}.{split}.loss" for name in COUNTED)
        yield f"{split}.documents_in_train"
        if recipe.baseline.passages:
            yield from (f"bm25.{split}.recall_at_{depth}" for depth in DEPTHS)
    yield from ("chance.questions.seen", "chance.questions.heldout", "train.rows", "ngram.rows_counted")
    if isinstance(recipe.examples, PictureExamples):
        yield "chance.questions.blind"
        if any(isinstance(source, PicturesSource) and source.moves for source in recipe.ingest.sources):
            yield "chance.questions.shuffled"


def _evaluated(evaluated: EvaluateConfig, network: NetworkBase, skills: tuple[str, ...]) -> Iterator[str]:
    for split in evaluated.splits:
        yield f"{split}.rows"
        if evaluated.passages:
            yield f"{split}.passages"
        for metric in per_split(network):
            if evaluated.passages or "recall_at" not in metric.name:
                yield from metric.written(split)
        yield from (f"{split}.{counted}" for ability, counted in COUNTED_OF.items() if ability in network.SUPPORTS)
    if evaluated.questions:
        sets = ("seen", "heldout", *evaluated.question_sets)
        declined = ("_declined",) if "unknown" in sets else ()
        yield from _joined([f"questions.{name}" for name in sets], (*INTERVAL, "_count", "_unasked", *declined))
        if evaluated.error_rates:
            rates = [f"questions.{name}_{unit}_error" for name in sets for unit in ("character", "word")]
            yield from _joined(rates, INTERVAL)
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


def validation_problems(recipe: Recipe) -> Iterator[str]:
    """Yield one sentence for each training whose weights or gate follow from validation rows that there can't be."""
    if recipe.pretrains and (setting := recipe.pretrain.needs_validation) and (key := nothing_held_out(recipe, "val")):
        yield f"pretrain.{setting} needs validation rows, and {key}=0 leaves none; raise that, or leave {setting} out"
    for name in ("tuning", "adapters"):
        for at, step in enumerate(getattr(recipe, name)):
            needing = step.needs_validation or ("gate" if step.gate else "")
            if needing and (keys := _no_rows(recipe, step)):
                yield (
                    f"{name}[{at}].{needing} needs validation rows of {step.name}, and {' and '.join(f'{key}=0' for key in keys)} "
                    f"leaves none; raise that, or leave {needing} out"
                )


def nothing_held_out(recipe: Recipe, split: str) -> str:
    """Return the key of 0 that leaves a split of the corpus empty; empty if none does."""
    if split == "train" or recipe.split.mode == "all_train":
        return ""
    key = f"{split}_documents" if recipe.split.mode == "counts" else split
    return "" if getattr(recipe.split, key) else f"split.{key}"


def _no_rows(recipe: Recipe, step: TuningStep) -> list[str]:
    """Return the keys of 0 that together leave a step no validation rows; empty if it may have some."""
    examples = recipe.examples
    mixed = isinstance(examples, ConversationExamples)
    generated, key = (examples.generated, "examples.generated") if isinstance(examples, ConversationExamples) else (examples, "examples")
    if step.READS == "questions" or (mixed and examples.validation_fraction):
        return []
    keys = ["examples.validation_fraction"] if mixed else []
    if generated is None:
        return keys
    # The last wording of a question about a universe is validated on, whatever the share of its pairs is.
    instructs = step.READS == "sft" or isinstance(step.pairing, ConstitutionPairs)
    if generated.validation_fraction or (instructs and isinstance(generated, UniverseExamples)):
        return []
    return [*keys, f"{key}.validation_fraction"]


CHAPTERS = ("corpus", "base", "chat", "release")


def gate_problems(recipe: Recipe) -> Iterator[str]:
    """Yield one sentence for each name in a bound that the gate can't judge."""
    most = recipe.gates.chat.most_times_the_bits
    if most not in (None, MOST_TIMES_THE_BITS) and not recipe.splits_of_tuning:
        yield (
            f"gates.chat.most_times_the_bits={most:g} does nothing: there is no tuning, or no split whose bits per byte evaluate.base and "
            "evaluate.chat both measure; leave it out"
        )
    for chapter in CHAPTERS:
        known = metrics_of(recipe, chapter)
        positions = list(dict.fromkeys(name.partition(".")[0] for name in known))
        for number, bound in enumerate(getattr(recipe.gates, chapter).bounds):
            where = f"gates.{chapter}.bounds[{number}]"
            for metric in filter(None, (bound.metric, bound.relative_to, bound.other(bound.metric))):
                if metric not in known:
                    yield f"{where} names {metric!r}, {_why(recipe, chapter, metric, known, positions)}"
            yield from _without_interval(where, bound, known)
            yield from _comparison_errors(recipe, where, bound)


def _why(recipe: Recipe, chapter: str, metric: str, known: list[str], positions: list[str]) -> str:
    position, _, measured = metric.partition(".")
    if position not in positions:
        if chapter == "release":
            names = ", ".join(variant.name for variant in recipe.release.variants) or "none"
            return f"but what is measured there is release and release.variants ({names}); change the bound, or add the variant"
        names = f"{', '.join(positions[:-1])} and {positions[-1]}" if len(positions) > 1 else positions[0]
        return f"but what is measured there is {names}; begin the name with one of those and a dot"
    if position == "baseline" and (split := next((part for part in measured.split(".") if part in SPLITS), "")) not in (
        "",
        *recipe.baseline.splits,
    ):
        return f"which takes baseline.splits with {split}; set that, or drop the bound"
    if chapter != "corpus" and position in evaluations(recipe, chapter):
        evaluated, network = evaluated_at(recipe, position)
        if why := unmeasured(measured, network):
            return f"but {why}"
        section = position if position in ("base", "chat") else "base" if position == "opened" else "release"
        if switch := switches_of(measured, evaluated, f"evaluate.{section}."):
            return f"which takes {switch}; set that, or drop the bound{did_you_mean(metric, known)}"
    return f"which nothing measures{did_you_mean(metric, known) or f'; {position} has {_some(position, known)}'}"


def _without_interval(where: str, bound: Bound, known: list[str]) -> Iterator[str]:
    if bound.certain and bound.metric in known and not {f"{bound.metric}_low", f"{bound.metric}_high"} <= set(known):
        yield f"{where} has certain=true, but {bound.metric} has no interval; leave out certain, or name a metric that has one"


def _comparison_errors(recipe: Recipe, where: str, bound: Bound) -> Iterator[str]:
    """Bounds that can't be compared row by row, and baselines trained on the text they predict."""
    position, _, name = bound.other(bound.metric).partition(".")
    if position != "baseline" or bound.above:
        return
    if name.partition(".")[0] not in COUNTED:
        yield f"{where} compares {bound.metric} row by row, and of the baselines {' and '.join(COUNTED)} are kept so; name one of these"
    elif recipe.split.mode == "all_train":
        yield (
            f"{where} compares {bound.metric} with a baseline, and split.mode=all_train lets that count the text that it then predicts; "
            "hold text out, or give the bound a minimum or maximum"
        )


def _some(position: str, known: list[str]) -> str:
    names = [name for name in known if name.startswith(f"{position}.") and not name.endswith(("_error", "_low", "_high"))]
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")


def step_gate_problems(recipe: Recipe) -> Iterator[str]:
    """Yield one sentence for each gate of a step that does not fit the recipe."""
    gated = {f"{name}[{at}]": step for name in ("tuning", "adapters") for at, step in enumerate(getattr(recipe, name)) if step.gate}
    repeated = [name for name, count in Counter(step.name for step in gated.values()).items() if count > 1]
    if repeated:
        yield f"tuning and adapters have a step called {repeated[0]!r} each, and both have a gate; rename one"
    for section, step in gated.items():
        gate = step.gate or StepGate()
        if step.name in CHAPTERS:
            yield f"{section}.gate would be gate.{step.name}, which judges a chapter; give the step another name"
        if not step.MAKES_POLICY:
            yield from _costs_nothing(f"{section}.gate", step.kind, gate)
            continue
        if gate.most_bits_per_byte is not None and (key := nothing_held_out(recipe, SPLIT)):
            yield (
                f"{section}.gate.most_bits_per_byte={gate.most_bits_per_byte:g} is judged on the {SPLIT} split, and {key}=0 leaves that "
                "empty; raise it, or set most_bits_per_byte: null"
            )
        if gate.most_right_lost is not None and isinstance(recipe.examples, ConversationExamples) and recipe.examples.generated is None:
            yield (
                f"{section}.gate.most_right_lost={gate.most_right_lost:g} asks questions, and examples.generated=null makes none; generate "
                "some, such as by {kind: corpus}, or set most_right_lost: null"
            )


def _costs_nothing(section: str, kind: str, gate: StepGate) -> Iterator[str]:
    """Bounds on what a model costs that no later step goes on from."""
    for name in ("most_bits_per_byte", "most_right_lost"):
        default = StepGate.model_fields[name].default
        if getattr(gate, name) not in (None, default):
            yield f"{section}.{name}={getattr(gate, name):g} does nothing: kind={kind} leaves the policy as it was; leave it out"
