"""With `mode: passages` each long document gives its last passages to validation and test, and no character is lost or held twice."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from data.audit.config import AuditConfig
from data.documents.rows import DOCUMENTS
from data.shards.names import SPLITS
from data.splits.assignment import MIN_PASSAGE, cut, shortest_cut
from data.splits.config import SplitConfig
from tests.data.audit.sharded import audit_shards
from tests.data.splits.book_splits import rows_of
from tests.data.splits.sharded import split_shards

PASSAGES = SplitConfig(mode="passages")
LONG = "\n\n".join(f"Paragraph {number} says that {number * number} is a square and no more." for number in range(800))
OTHER = LONG.replace("square", "number")
LIMITS: dict[str, Any] = {"threads": 1, "memory": "500MB"}


def _split(folder: Path, texts: Mapping[str, str], config: SplitConfig = PASSAGES, alike: str = "", written: str = "") -> dict[str, float]:
    """Split `texts` by id; those in `alike` are one cluster, those in `written` by a machine."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {"id": name, "title": name, "source": "test", "text": text, "metadata": "{}", "synthetic": name in written}
        for name, text in sorted(texts.items())
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=DOCUMENTS), folder / "documents.parquet")
    clusters = [(name, alike[0] if name in alike else name) for name in sorted(texts)]
    pq.write_table(pa.table({"id": [name for name, _ in clusters], "cluster": [name for _, name in clusters]}), folder / "clusters.parquet")
    shards = [folder / "documents.parquet"]
    return split_shards(shards, folder / "clusters.parquet", folder / "out", config, scratch=folder / "scratch", **LIMITS)[1]


def _texts(folder: Path) -> dict[str, dict[str, str]]:
    """Return the texts of each split by id."""
    tables = {part: rows_of(folder / "out", f"{part}.parquet") for part in SPLITS}
    return {part: {row["id"]: row["text"] for row in rows} for part, rows in tables.items()}


def test_the_last_passages_of_each_long_document_are_held_out_and_nothing_is_lost(tmp_path: Path) -> None:
    metrics = _split(tmp_path, {"a": LONG, "b": OTHER, "c": "A short note."})
    found = _texts(tmp_path)
    for name, whole in (("a", LONG), ("b", OTHER)):
        assert found["train"][name] + found["val"][name] + found["test"][name] == whole
        assert len(found["train"][name]) / len(whole) == pytest.approx(0.9, abs=0.01)
        assert found["train"][name].endswith("\n\n") and found["val"][name].startswith("Paragraph ")
    assert found["train"]["c"] == "A short note." and set(found["val"]) == set(found["test"]) == {"a", "b"}
    assert metrics["documents_train"] == 3 and metrics["clusters_val"] == metrics["documents_val"] == 2
    assert sum(metrics[f"characters_{part}"] for part in SPLITS) == len(LONG) + len(OTHER) + len("A short note.")


def test_the_ledger_says_which_documents_were_cut_and_why_the_others_were_not(tmp_path: Path) -> None:
    _split(tmp_path, {"a": LONG, "b": OTHER, "c": OTHER + "!", "d": "A short note."}, alike="bc")
    ledger = rows_of(tmp_path / "out", "ledger.parquet")
    told = {row["id"]: (row["action"], row["rule"], row["detail"]) for row in ledger}
    assert told == {
        "a": ("kept", "passages", "its last passages are held out"),
        "b": ("kept", "train", "whole: other documents are nearly the same"),
        "c": ("kept", "train", "whole: other documents are nearly the same"),
        "d": ("kept", "train", f"whole: it has fewer than {MIN_PASSAGE * 20} characters"),
    }


def test_the_audit_counts_a_document_in_three_splits_once_and_finds_the_account_balanced(tmp_path: Path) -> None:
    _split(tmp_path, {"a": LONG, "b": OTHER})
    folders = [tmp_path / "out" / "0"]
    found = audit_shards({"split": folders}, folders, tmp_path / "audit", AuditConfig(), scratch=tmp_path / "work", **LIMITS)
    assert found["balanced"] == 1
    assert found["documents_in"] == found["documents_kept"] == 2
    assert found["characters_in"] == found["characters_kept"] == len(LONG) + len(OTHER)


def test_a_machines_copy_of_a_document_that_is_cut_is_dropped(tmp_path: Path) -> None:
    _split(tmp_path, {"a": LONG, "b": LONG + "!", "c": "Written."}, PASSAGES, alike="ab", written="bc")
    assert {part: set(texts) for part, texts in _texts(tmp_path).items()} == {"train": {"a", "c"}, "val": {"a"}, "test": {"a"}}
    assert [row["id"] for row in rows_of(tmp_path / "out", "removed/synthetic_copy.parquet")] == ["b"]


def test_where_no_document_is_long_enough_the_way_out_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"at least 20,000 characters .* found none; set split.mode: fractions .* or all_train"):
        _split(tmp_path, {"a": "A short note.", "b": "Another."})
    with pytest.raises(ValidationError, match=r"split\.mode=passages holds nothing out"):
        SplitConfig(mode="passages", train=1, val=0, test=0)


def test_a_new_document_changes_no_part_of_another(tmp_path: Path) -> None:
    _split(tmp_path / "before", {"b": LONG})
    _split(tmp_path / "after", {"a": OTHER, "b": LONG})
    before, after = _texts(tmp_path / "before"), _texts(tmp_path / "after")
    assert all(before[part]["b"] == after[part]["b"] for part in SPLITS)


@settings(max_examples=60)
@given(
    st.lists(st.text(st.sampled_from("ab \n"), min_size=1, max_size=400), min_size=1, max_size=12),
    st.sampled_from([(0.9, 0.05, 0.05), (0.5, 0.25, 0.25), (0.8, 0.0, 0.2), (0.7, 0.3, 0.0)]),
)
def test_parts_end_to_end_are_the_document_and_near_their_shares(lines: list[str], shares: tuple[float, float, float]) -> None:
    train, val, test = shares
    config = SplitConfig(mode="passages", train=train, val=val, test=test)
    text = ("".join(lines) * shortest_cut(config))[: shortest_cut(config) + len(lines) * 37]
    parts = cut(text, config.dividing)
    assert "".join(parts.values()) == text
    assert set(parts) == {"train", *config.held_out}
    for part, share in {"train": train, **config.held_out}.items():
        assert abs(len(parts[part]) - share * len(text)) <= MIN_PASSAGE / 2 + 3
