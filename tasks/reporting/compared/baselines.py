"""Compare the models with n-grams, compressors and guessing on the same text and questions."""

from __future__ import annotations

from collections.abc import Mapping

from tasks.reporting.evaluation import SETS, SPLITS, best_first, model_name
from tasks.reporting.hook import Topic
from tasks.reporting.parts import Row, Section, Table
from tasks.reporting.summary import Results, RunSummary
from tasks.reporting.wording import number, share

COMPARED = {
    "ngram": "n-grams, counted on train",
    "unigram": "single tokens, counted on train",
    "zstd_after_train": "zstd, after reading train",
    "zstd": "zstd alone",
    "xz": "xz alone",
}


def baselines_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build a table of bits per byte by split, best first, and one of questions with chance."""
    results = run.results
    tables = [table for position in positions for table in (_predicting(results, position), _answering(results, position)) if table]
    if not tables:
        return None
    held_out = not any(results.metrics(position).get(f"{split}.documents_in_train") for position in positions for split in SPLITS)
    lead = (
        "A model is worth its training where it beats what needs none. All are measured on the same text; those that count, and zstd in "
        "its first form, have read the training text, as the model has."
        if held_out
        else "Nothing was held out: whatever has read the training text has read what is predicted here, so these figures say how well "
        "each remembers."
    )
    return Section("baselines", "What it is compared with", lead, tables=tuple(tables))


BASELINES = Topic("baselines", 28, baselines_section)


def _predicting(results: Results, position: str) -> Table | None:
    compared = results.metrics(position)
    splits = [split for split in SPLITS if f"ngram.{split}.bits_per_byte" in compared]
    if not splits:
        return None
    found = {label: [compared.get(f"{name}.{split}.bits_per_byte") for split in splits] for name, label in COMPARED.items()}
    ours = {
        f"{model_name(evaluated)} model": [results.metrics(evaluated).get(f"{split}.bits_per_byte") for split in splits]
        for evaluated in best_first(results)
    }
    ranked = sorted({**found, **ours}.items(), key=lambda item: min((bits for bits in item[1] if bits is not None), default=float("inf")))
    rows = tuple(
        Row((label, *("" if bits is None else number(bits) for bits in figures)), "good" if label in ours else "")
        for label, figures in ranked
        if any(bits is not None for bits in figures)
    )
    return Table("Bits for each byte of text", ("by", *splits), rows, frozenset(range(1, len(splits) + 1)), half=True)


def _answering(results: Results, position: str) -> Table | None:
    compared = results.metrics(position)
    sets = [name for name in SETS if f"chance.questions.{name}" in compared]
    asked = [evaluated for evaluated in best_first(results) if any(f"questions.{name}" in results.metrics(evaluated) for name in sets)]
    if not asked:
        return None
    rows = [Row((f"{model_name(evaluated)} model", *_shares(results.metrics(evaluated), "questions", sets)), "good") for evaluated in asked]
    rows.append(Row(("guessing among the choices", *_shares(compared, "chance.questions", sets))))
    header = ("by", *(SETS[name] for name in sets))
    return Table("Questions answered right", header, tuple(rows), frozenset(range(1, len(sets) + 1)), half=True)


def _shares(metrics: Mapping[str, float], prefix: str, sets: list[str]) -> tuple[str, ...]:
    return tuple(share(metrics[f"{prefix}.{name}"]) if f"{prefix}.{name}" in metrics else "" for name in sets)
