"""How much of validation and test also occurs in train, word for word, and where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from data.provenance.tables import all_rows, first_rows
from tasks.reporting.hook import Topic
from tasks.reporting.parts import Row, Section, Table
from tasks.reporting.summary import Results, RunSummary
from tasks.reporting.wording import count, joined, plural, share

NAMES = {"train": "train", "val": "validation", "test": "test"}
AGAINST = {"leak_val": ("validation", "train"), "leak_test": ("test", "train"), "leak_test_val": ("test", "validation")}
SHOWN = 10
ITEMS, HIT, SHORT = "items_", "items_hit_", "items_short_"


def held_out_section(run: RunSummary, positions: Mapping[str, str]) -> Section | None:
    """Build what leaks between the splits, by document and passage, and what was removed for the evaluation sets."""
    results = run.results
    leaks, removed = results.metrics("audit"), {**results.metrics("contamination"), **results.metrics("decontaminate")}
    if not any(f"{name}_worst" in leaks for name in AGAINST):
        return None
    tables = [_documents(results), _passages(results), _evaluations(removed)]
    return Section("held-out", "What was held out", _lead(results, leaks, removed), tables=tuple(table for table in tables if table))


HELD_OUT = Topic("held-out text", 80, held_out_section)


def _lead(results: Results, leaks: Mapping[str, float], removed: Mapping[str, float]) -> str:
    length = results.artifacts["audit"].config.get("words", 13)
    found = [f"{share(leaks[name])} of {part} in {other}" for name, (part, other) in AGAINST.items() if name in leaks]
    sentences = [f"Runs of {length} words that also occur elsewhere: {joined(found)}."]
    split = {**results.metrics("assign"), **results.metrics("split")}
    if split.get("shared"):
        sentences.append("This recipe trains on all of its documents, so validation and test are copies of train.")
    if split.get("synthetic_documents"):
        wrote = plural(split["synthetic_documents"], "document")
        sentences.append(f"A machine wrote {wrote} of train, {share(split['synthetic_share'])} of its characters.")
    if removed:
        passages = f"{plural(removed['passages'], 'passage')} in {plural(removed['documents_contaminated'], 'document')}"
        characters = plural(removed["characters_removed"], "character")
        sentences.append(f"To keep evaluation sets unseen, {passages} were removed from the corpus, {characters} in all.")
    return " ".join(sentences)


def _documents(results: Results) -> Table | None:
    worst = results.rows("audit", "leaked_documents.parquet", first_rows, SHOWN)
    rows = [
        Row(
            (NAMES[row["split"]], row["title"], row["source"], share(row["in_train"] / row["ngrams"]), share(row["in_val"] / row["ngrams"]))
        )
        for row in worst
    ]
    header = ("held out", "document", "source", "in train", "in validation")
    note = "Shares of a document's runs of words that also occur in train or in validation, largest first."
    return Table("Documents that leak", header, tuple(rows), right=frozenset({3, 4}), note=note) if rows else None


def _passages(results: Results) -> Table | None:
    found = results.rows("audit", "leaks.parquet", _longest)
    rows = [
        Row((NAMES[row["split"]], count(row["words"]), row["title"], row["text"], f"{row['other_title']} ({_where(row)})")) for row in found
    ]
    header = ("held out", "words", "document", "passage", "also in")
    return Table("The longest passages", header, tuple(rows), right=frozenset({1}), widths=(10, 8, 18, 44, 20)) if rows else None


def _longest(leaks: IO[bytes]) -> list[dict[str, Any]]:
    return sorted(all_rows(leaks), key=lambda row: (-row["words"], row["split"], row["id"], row["first_word"]))[:SHOWN]


def _where(row: Mapping[str, Any]) -> str:
    return "train" if row["train_id"] else "validation"


def _evaluations(removed: Mapping[str, float]) -> Table | None:
    names = [name.removeprefix(HIT) for name in removed if name.startswith(HIT)]
    rows = [
        Row((name, count(removed[f"{ITEMS}{name}"]), count(removed[f"{HIT}{name}"]), count(removed[f"{SHORT}{name}"])))
        for name in sorted(names)
    ]
    header = ("evaluation set", "items", "found in the corpus", "too short to search for")
    return Table("Evaluation sets", header, tuple(rows), right=frozenset({1, 2, 3})) if rows else None
