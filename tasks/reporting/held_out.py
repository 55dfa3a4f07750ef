"""What was held out to choose and to judge by: does it stand in what was learnt, and where, word for word?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow.parquet as pq

from tasks.reporting.account import Account
from tasks.reporting.evidence import Evidence
from tasks.reporting.parts import Row, Section, Table
from tasks.reporting.wording import count, joined, plural, share

NAMES = {"train": "train", "val": "validation", "test": "test"}
AGAINST = {"leak_val": ("validation", "train"), "leak_test": ("test", "train"), "leak_test_val": ("test", "validation")}
SHOWN = 10
ITEMS, HIT, SHORT = "items_", "items_hit_", "items_short_"


def held_out_section(account: Account) -> Section | None:
    """Leaks between the splits, the worst documents and passages, and what evaluation sets lost the corpus."""
    evidence = account.evidence
    leaks, removed = evidence.metrics("audit"), evidence.metrics("decontaminate")
    if not any(f"{name}_worst" in leaks for name in AGAINST):
        return None
    tables = [_documents(evidence), _passages(evidence), _evaluations(removed)]
    return Section("held-out", "What was held out", _lead(evidence, leaks, removed), tables=tuple(table for table in tables if table))


def _lead(evidence: Evidence, leaks: Mapping[str, float], removed: Mapping[str, float]) -> str:
    length = evidence.artifacts["audit"].config.get("words", 13)
    found = [f"{share(leaks[name])} of {part} in {other}" for name, (part, other) in AGAINST.items() if name in leaks]
    sentences = [f"Of all runs of {length} words, these stand elsewhere, too: {joined(found)}."]
    split = evidence.metrics("split")
    if split.get("shared"):
        sentences.append("This recipe trains on all of its documents, so validation and test are copies of train.")
    if split.get("synthetic_documents"):
        wrote = plural(split["synthetic_documents"], "document")
        sentences.append(f"A machine wrote {wrote} of train, {share(split['synthetic_share'])} of its characters.")
    if removed:
        gone = f"{plural(removed['passages'], 'passage')} in {plural(removed['documents_contaminated'], 'document')}"
        sentences.append(
            f"Of the evaluation sets, {gone} were found and taken out, {count(removed['characters_removed'])} characters in all."
        )
    return " ".join(sentences)


def _documents(evidence: Evidence) -> Table | None:
    path = evidence.path("audit", "leaked_documents.parquet")
    batches = () if path is None else pq.ParquetFile(path).iter_batches(SHOWN)
    worst: list[dict[str, Any]] = next((batch.to_pylist() for batch in batches), [])
    rows = [
        Row(
            (NAMES[row["split"]], row["title"], row["source"], share(row["in_train"] / row["ngrams"]), share(row["in_val"] / row["ngrams"]))
        )
        for row in worst
    ]
    header = ("held out", "document", "source", "in train", "in validation")
    note = "The documents of which the most stands elsewhere, in shares of their runs of words."
    return Table("Documents that leak", header, tuple(rows), right=frozenset({3, 4}), note=note) if rows else None


def _passages(evidence: Evidence) -> Table | None:
    path = evidence.path("audit", "leaks.parquet")
    told: list[dict[str, Any]] = [] if path is None else pq.read_table(path).to_pylist()
    found = sorted(told, key=lambda row: (-row["words"], row["split"], row["id"], row["first_word"]))[:SHOWN]
    rows = [
        Row((NAMES[row["split"]], count(row["words"]), row["title"], row["text"], f"{row['other_title']} ({_where(row)})")) for row in found
    ]
    header = ("held out", "words", "document", "passage", "stands in")
    return Table("The longest passages", header, tuple(rows), right=frozenset({1}), widths=(10, 8, 18, 44, 20)) if rows else None


def _where(row: Mapping[str, Any]) -> str:
    return "train" if row["train_id"] else "validation"


def _evaluations(removed: Mapping[str, float]) -> Table | None:
    names = [name.removeprefix(HIT) for name in removed if name.startswith(HIT)]
    rows = [
        Row((name, count(removed[f"{ITEMS}{name}"]), count(removed[f"{HIT}{name}"]), count(removed[f"{SHORT}{name}"])))
        for name in sorted(names)
    ]
    header = ("evaluation set", "items", "found in the corpus", "too short to look for")
    return Table("Evaluation sets", header, tuple(rows), right=frozenset({1, 2, 3})) if rows else None
