"""Clusters and passages against plain Python that compares everything with everything."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations, count
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.dedup import grams as grams_module
from data.dedup import repeats
from data.dedup.config import DedupConfig, LineRule, NearRule, PageRule, ParagraphRule, SubstringRule
from data.dedup.grams import HashLists, grams, winnow
from data.documents import stream
from tests.data.dedup.books import bytes_of, edited, kept_texts, prose, rows_of, run

ALONE = {"page": PageRule(enabled=False), "paragraph": ParagraphRule(enabled=False), "exact": False}


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def _components(names: list[str], pairs: dict[tuple[str, str], float]) -> dict[str, str]:
    cluster = {name: name for name in names}
    for left, right in pairs:
        low, high = sorted((cluster[left], cluster[right]))
        if low != high:
            cluster = {name: low if at == high else at for name, at in cluster.items()}
    return cluster


def test_clusters_of_2000_documents_are_those_of_brute_force_jaccard(tmp_path: Path) -> None:
    random = Random(5)
    texts: dict[str, str] = {}
    for seed in count():
        text = prose(seed, paragraphs=2, sentences=3)
        for copy in range(random.choice((1, 1, 2, 4))):
            texts[f"{random.randrange(16**8):08x}"] = edited(text, random.choice((0.0, 0.01, 0.03, 0.06, 0.3)), copy) if copy else text
        if len(texts) >= 2000:
            break
    known: dict[tuple[str, ...], int] = {}
    sets = {}
    for name, text in texts.items():
        words = _words(text)
        sets[name] = {known.setdefault(tuple(words[k : k + 5]), len(known)) for k in range(len(words) - 4)}
    names = sorted(texts)
    shared = {(left, right): len(sets[left] & sets[right]) for left, right in combinations(names, 2)}
    jaccard = {(a, b): found / (len(sets[a]) + len(sets[b]) - found) for (a, b), found in shared.items() if found}
    near = {pair: value for pair, value in jaccard.items() if value >= 0.7}
    expected = _components(names, near)
    config = DedupConfig(near=NearRule(action="cluster", bands=64, rows=3), **ALONE)
    output, _ = run(tmp_path, texts, config, threads=2)
    table = pq.read_table(output / "clusters.parquet")
    assert dict(zip(table["id"].to_pylist(), table["cluster"].to_pylist(), strict=True)) == expected
    assert len(set(expected.values())) < len(texts) - 500
    found = {(row["a"], row["b"]): row["jaccard"] for row in pq.read_table(output / "pairs.parquet").to_pylist()}
    assert found == pytest.approx(near)


WORDS = st.sampled_from(("ash", "birch", "cedar", "date"))
BOOKS = st.lists(st.lists(WORDS, max_size=60), min_size=1, max_size=5)


def _hash_lists(books: list[list[str]]) -> HashLists:
    starts = np.cumsum([0, *map(len, books)])
    numbers = [hash((word, 7)) % 2**64 for book in books for word in book]
    return HashLists(np.array(numbers, np.uint64), starts.astype(np.int64))


@given(BOOKS, st.integers(1, 12))
def test_grams_are_equal_where_their_words_are_and_only_there(books: list[list[str]], size: int) -> None:
    found = grams(_hash_lists(books), size)
    expected: list[tuple[str, ...]] = []
    for at, book in enumerate(books):
        mine = [tuple(book[k : k + size]) for k in range(len(book) - size + 1)] or ([tuple(book)] if book else [])
        assert found.starts_D[at + 1] - found.starts_D[at] == len(mine)
        expected += mine
    pairs = set(zip(expected, found.hashes_W.tolist(), strict=True))
    assert len(pairs) == len(set(expected)) == len(set(found.hashes_W.tolist()))


@given(BOOKS, st.integers(1, 6), st.integers(1, 8))
def test_winnowing_chooses_one_in_every_window_and_the_same_in_equal_windows(books: list[list[str]], size: int, window: int) -> None:
    ngrams = grams(_hash_lists([book for book in books if len(book) >= size]), size)
    chosen = winnow(ngrams, window)
    windows: dict[tuple[int, ...], set[int]] = {}
    for start, end in zip(ngrams.starts_D[:-1], ngrams.starts_D[1:], strict=True):
        for at in range(start, end - window + 1):
            run = slice(at, at + window)
            mine = set(ngrams.hashes_W[run][chosen[run]].tolist())
            assert mine & windows.setdefault(tuple(ngrams.hashes_W[run].tolist()), mine)
            assert int(ngrams.hashes_W[run].min()) in mine
        if end - start < window:
            assert not chosen[start:end].any()


def _naive(books: dict[str, list[str]], least: int, inside: bool) -> dict[str, set[int]]:
    """Return the positions of words in any `least` consecutive words that occur earlier, without overlapping in the same book."""
    first: dict[tuple[str, ...], tuple[str, int]] = {}
    cut: dict[str, set[int]] = {}
    for name in sorted(books):
        words = books[name]
        for at in range(len(words) - least + 1):
            home, place = first.setdefault(tuple(words[at : at + least]), (name, at))
            if home != name or (inside and at >= place + least):
                cut.setdefault(name, set()).update(range(at, at + least))
    return cut


@pytest.mark.parametrize("inside", [True, False])
def test_exactly_the_passages_that_occur_earlier_are_removed(tmp_path: Path, inside: bool) -> None:
    runs: Iterator[int] = count()
    near = NearRule(enabled=False)
    config = DedupConfig(near=near, substring=SubstringRule(enabled=True, min_words=10, inside=inside), **ALONE)
    pool = [_words(prose(k, paragraphs=1, sentences=2)) for k in range(4)] + [["ha"] * 14]

    @settings(max_examples=8, deadline=None, database=None)
    @given(st.lists(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 12), st.integers(1, 30)), max_size=5), min_size=1, max_size=4))
    def law(parts: list[list[tuple[int, int, int]]]) -> None:
        books = {f"{k}": [word for part, start, size in book for word in pool[part][start : start + size]] for k, book in enumerate(parts)}
        cut = _naive(books, 10, inside)
        output, metrics = run(tmp_path / str(next(runs)), {name: " ".join(words) for name, words in books.items()}, config)
        expected = {name: [word for k, word in enumerate(words) if k not in cut.get(name, ())] for name, words in books.items()}
        assert {name: _words(text) for name, text in kept_texts(output).items()} == {n: words for n, words in expected.items() if words}
        assert metrics["substrings_removed"] == sum(sum(k - 1 not in places for k in places) for places in cut.values())

    law()


def test_words_with_colliding_hashes_are_not_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With hashes of four bits, every run of words collides with others."""
    monkeypatch.setattr(grams_module, "mix64", lambda values: values & np.uint64(15))
    texts = {"a": prose(1, paragraphs=3), "b": prose(2, paragraphs=3)}
    config = DedupConfig(near=NearRule(enabled=False), substring=SubstringRule(enabled=True, min_words=20), **ALONE)
    assert kept_texts(run(tmp_path, texts, config)[0]) == texts


def test_batch_and_block_boundaries_change_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared, line = prose(60, 1, 10), "All rights reserved by the printers of this book."
    texts = {
        f"{k:02}": f"{prose(k, 3)}\n\n{line}\n\n{shared if k % 3 == 0 else prose(k + 100, 1)} {prose(k % 4 + 200, 1)}" for k in range(12)
    }
    texts |= {name: f"{texts[name]}\n\n{prose(61, 1, 9)}" for name in ("05", "07")}
    texts |= {"12": texts["03"].lower(), "13": edited(texts["04"], 0.01), "14": f"{prose(30)}\n\n{prose(31, 3)}\n\n{prose(31, 3)}"}
    config = DedupConfig(
        keep=("known_words", "longest"),
        near=NearRule(spelling="folded"),
        line=LineRule(enabled=True),
        substring=SubstringRule(enabled=True, min_words=30),
    )
    expected, metrics = run(tmp_path / "whole", texts, config)
    for rule in ("documents_exact", "documents_near", "pages_removed", "paragraphs_removed", "lines_removed", "substrings_removed"):
        assert metrics[rule], rule
    monkeypatch.setattr(stream, "BATCH_CHARACTERS", 4000)
    monkeypatch.setattr(grams_module, "BLOCK", 500)
    monkeypatch.setattr(repeats, "FLUSH_CHARACTERS", 100)
    parts, _ = run(tmp_path / "parts", texts, config, threads=2, order=sorted(texts, reverse=True))
    assert rows_of(parts) == rows_of(expected)  # in smaller row groups
    same = {name: digest for name, digest in bytes_of(expected).items() if not name.startswith("documents/")}
    assert {name: bytes_of(parts)[name] for name in same} == same and set(bytes_of(parts)) == set(bytes_of(expected))


def test_hashes_of_a_sliced_column_are_those_of_the_slice() -> None:
    column = pa.chunked_array([pa.array([[1, 2], [3], [], [4, 5, 6]], pa.list_(pa.uint64()))]).slice(1)
    found = HashLists.from_column(column)
    assert found.hashes_W.tolist() == [3, 4, 5, 6] and found.starts_D.tolist() == [0, 1, 1, 4]
