"""Which book is held out: a function of names and shares, through no cluster, and stable when a book is added."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.splits.config import SplitConfig
from data.splits.split import SPLITS, assign, split
from tests.data.dedup.books import write

sizes = st.dictionaries(st.text("abcdef0123456789", min_size=4, max_size=8), st.integers(1, 6), min_size=3, max_size=60)


@given(sizes, st.integers(0, 5))
def test_every_cluster_has_one_split_and_none_is_empty(clusters: dict[str, int], seed: int) -> None:
    places = assign(clusters, SplitConfig(seed=seed))
    assert set(places) == set(clusters) and set(places.values()) == set(SPLITS)
    assert places == assign(dict(reversed(clusters.items())), SplitConfig(seed=seed))


@given(st.integers(3, 400), st.integers(0, 5))
def test_shares_are_exact_to_one_document(count: int, seed: int) -> None:
    places = Counter(assign({f"{k:04}": 1 for k in range(count)}, SplitConfig(train=0.8, val=0.1, test=0.1, seed=seed)).values())
    assert abs(places["val"] - count * 0.1) <= 1 and abs(places["test"] - count * 0.1) <= 1 and places.total() == count


@given(st.integers(40, 200), st.text("abcdef", min_size=5, max_size=9))
def test_a_new_book_moves_at_most_the_books_at_the_boundaries(count: int, name: str) -> None:
    old = {f"{k:04}": 1 for k in range(count)}
    before, after = assign(old, SplitConfig()), assign(old | {name: 1}, SplitConfig())
    moved = [(before[book], after[book]) for book in old if before[book] != after[book]]
    assert len(moved) <= 2 and all("train" in move for move in moved)


def _files(folder: Path, clusters: dict[str, str]) -> tuple[Path, Path]:
    documents = write(folder, {name: f"The text of {name}." for name in clusters})
    pq.write_table(pa.table({"id": list(clusters), "cluster": list(clusters.values())}), folder / "clusters.parquet")
    return documents, folder / "clusters.parquet"


def _ids(output: Path) -> dict[str, list[str]]:
    return {part: pq.read_table(output / f"{part}.parquet")["id"].to_pylist() for part in SPLITS}


def test_editions_stay_together_and_every_document_is_written_once(tmp_path: Path) -> None:
    clusters = {f"{k:02}{edition}": f"{k:02}a" for k in range(30) for edition in "abc"[: 1 + k % 3]}
    metrics = split(*_files(tmp_path, clusters), tmp_path / "out", SplitConfig())
    found = _ids(tmp_path / "out")
    assert sorted(name for names in found.values() for name in names) == sorted(clusters)
    assert all(not {clusters[a] for a in found[p]} & {clusters[b] for b in found[q]} for p in SPLITS for q in SPLITS if p < q)
    assert sum(metrics[f"documents_{part}"] for part in SPLITS) == len(clusters) and metrics["shared"] == 0


def test_four_books_may_all_be_trained_on_and_that_is_told(tmp_path: Path) -> None:
    metrics = split(*_files(tmp_path, {name: name for name in "abcd"}), tmp_path / "out", SplitConfig(mode="all_train"))
    assert _ids(tmp_path / "out") == {part: list("abcd") for part in SPLITS} and metrics["shared"] == 1


def test_too_few_books_none_and_strangers_are_errors_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"at least 3 different books and found 2; add books, or set split\.mode: all_train"):
        split(*_files(tmp_path / "two", {"a": "a", "b": "b"}), tmp_path / "out", SplitConfig())
    with pytest.raises(ValueError, match="holds no documents"):
        split(*_files(tmp_path / "none", {}), tmp_path / "out", SplitConfig())
    documents, _ = _files(tmp_path / "x", {name: name for name in "abc"})
    with pytest.raises(ValueError, match=r"document c is in .* but in no cluster"):
        split(documents, _files(tmp_path / "y", {"a": "a", "b": "b"})[1], tmp_path / "out", SplitConfig())
    with pytest.raises(ValueError, match=r"must add up to 1"):
        SplitConfig(train=0.9, val=0.2, test=0.1)
