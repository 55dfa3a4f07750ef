"""Which book is held out: a function of names and shares that never divides a cluster and is stable when books are added."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from data.shards.names import SPLITS
from data.splits.assignment import apportion
from data.splits.config import SplitConfig
from tests.data.splits.book_splits import Book, Books, assignments, cluster_number, ids_by_split, run_split, split_by_number

few = settings(max_examples=12)  # each splits in DuckDB, twice
NAME = st.text("0123456789abcdef", min_size=6, max_size=6)
SHARES = st.sampled_from([(0.9, 0.05, 0.05), (0.5, 0.3, 0.2), (0.8, 0.0, 0.2), (0.02, 0.49, 0.49)])


@st.composite
def shelves(draw: st.DrawFn, fewest: int = 3, editions: int = 3) -> Books:
    """Books of several sources; some come in up to `editions` editions."""
    random = Random(draw(st.integers(0, 10_000)))
    books: Books = {}
    for _ in range(draw(st.integers(fewest, 50))):
        names = [f"{random.getrandbits(40):010x}" for _ in range(random.randint(1, editions))]
        books |= {name: Book(cluster=min(names), source=random.choice("abc")) for name in names}
    return books


def fractions(shares: tuple[float, float, float], **more: object) -> SplitConfig:
    return SplitConfig.model_validate({"train": shares[0], "val": shares[1], "test": shares[2], **more})


@few
@given(shelves(), SHARES, st.integers(0, 3))
def test_a_book_is_assigned_by_the_number_of_its_cluster_and_no_split_is_empty(
    books: Books, shares: tuple[float, float, float], seed: int
) -> None:
    config = fractions(shares, seed=seed)
    found = assignments(books, config)
    assert set(found) == set(books)
    assert set(found.values()) == {part for part in SPLITS if getattr(config, part)}
    assert all(found[name] == found[book.cluster] for name, book in books.items())
    counted = Counter(split_by_number(seed, book.cluster, config) for book in books.values())
    if all(counted[part] for part in SPLITS if getattr(config, part)):
        assert found == {name: split_by_number(seed, book.cluster, config) for name, book in books.items()}


@few
@given(shelves(), NAME, SHARES, st.sampled_from(["none", "source"]), st.sampled_from("abcd"))
def test_a_new_book_moves_no_other_except_a_stand_in(
    books: Books, name: str, shares: tuple[float, float, float], stratify: str, source: str
) -> None:
    config = fractions(shares, stratify=stratify)
    before, after = assignments(books, config), assignments(books | {name: Book(source=source)}, config)
    moved = {book for book in books if before[book] != after[book]}
    # Which book stands in for a split without one may change, so one stops standing in and another begins.
    owned = {book: split_by_number(0, books[book].cluster, config) for book in moved}
    assert all(before[book] != owned[book] or after[book] != owned[book] for book in moved if stratify == "none")
    # A source that grows to as many books as there are splits gets its own stand-in.
    assert all(before[book] != owned[book] or after[book] != owned[book] or books[book].source == source for book in moved)


def test_a_thousand_new_books_move_none_of_a_thousand() -> None:
    old = {f"{k:04}": Book() for k in range(1000)}
    before, after = assignments(old, SplitConfig()), assignments(old | {f"new {k:04}": Book() for k in range(1000)}, SplitConfig())
    assert {name: after[name] for name in old} == before
    assert 30 < Counter(after.values())["test"] / 2 < 70


@few
@given(shelves(fewest=6, editions=1), NAME, st.integers(0, 3), st.integers(0, 3))
def test_counts_are_exact_and_a_new_book_moves_at_most_one_at_each_boundary(books: Books, name: str, val: int, test: int) -> None:
    assume(name not in books and val + test > 0)
    config = SplitConfig(mode="counts", val_documents=val, test_documents=test)
    before, after = assignments(books, config), assignments(books | {name: Book()}, config)
    for found in (before, after):
        counted = Counter(found.values())
        assert (counted["val"], counted["test"]) == (val, test)
    order = sorted(books, key=lambda book: cluster_number(0, book))
    assert {book for book in books if before[book] == "test"} == set(order[:test])
    assert {book for book in books if before[book] == "val"} == set(order[len(order) - val :])
    moved = [(before[book], after[book]) for book in books if before[book] != after[book]]
    assert len(moved) <= 2 and all("train" in move for move in moved)
    assert all(sum(part in move for move in moved) <= 1 for part in ("val", "test"))


@few
@given(shelves(fewest=12), NAME)
def test_counts_take_whole_clusters_and_a_new_book_moves_at_most_one_of_them_at_each_boundary(books: Books, name: str) -> None:
    assume(name not in books)
    config = SplitConfig(mode="counts", val_documents=4, test_documents=3)
    before, after = assignments(books, config), assignments(books | {name: Book()}, config)
    assert all(before[name] == before[book.cluster] for name, book in books.items())
    counted = Counter(before.values())
    assert 4 <= counted["val"] <= 6 and 3 <= counted["test"] <= 5
    moved = {(books[book].cluster, before[book], after[book]) for book in books if before[book] != after[book]}
    assert all(sum(part in move for move in moved) <= 1 for part in ("val", "test"))


@few
@given(shelves(fewest=12, editions=1), NAME, st.sampled_from("abc"))
def test_counts_by_source_follow_the_sizes_and_a_new_book_moves_one_at_each_boundary_of_two_sources(
    shelf: Books, name: str, source: str
) -> None:
    assume(name not in shelf)
    config = SplitConfig(mode="counts", val_documents=3, test_documents=4, stratify="source")
    before, after = assignments(shelf, config), assignments(shelf | {name: Book(source=source)}, config)
    sizes = Counter(book.source for book in shelf.values())
    assert Counter(shelf[book].source for book, part in before.items() if part == "test") == apportion(sizes, 4)
    moved = [(shelf[book].source, before[book], after[book]) for book in shelf if before[book] != after[book]]
    for part in ("val", "test"):
        sources = [where for where, *move in moved if part in move]
        assert len(sources) == len(set(sources)) <= 2


@given(st.dictionaries(st.sampled_from("abcde"), st.integers(1, 60), min_size=1), st.integers(0, 60), st.sampled_from("abcde"))
def test_seats_are_in_proportion_and_one_member_more_moves_one_seat(sizes: dict[str, int], wanted: int, grown: str) -> None:
    given_out = apportion(sizes, wanted)
    assert sum(given_out.values()) == min(wanted, sum(sizes.values()))
    assert all(0 < due <= sizes[name] for name, due in given_out.items())
    after = apportion(sizes | {grown: sizes.get(grown, 0) + 1}, wanted)
    change = {name: after.get(name, 0) - given_out.get(name, 0) for name in {*sizes, grown}}
    assert 0 <= change.pop(grown) <= 1 and sum(map(abs, change.values())) <= 1 and all(step <= 0 for step in change.values())
    assert apportion({"a": 60, "b": 30, "c": 10}, 10) == {"a": 6, "b": 3, "c": 1}


def test_stratified_splits_hold_out_books_of_every_source() -> None:
    books = {f"{source}{k:03}": Book(source=source) for source in "abcdefgh" for k in range(4)}
    by_source = assignments(books, SplitConfig(stratify="source"))
    for source in "abcdefgh":
        assert {part for name, part in by_source.items() if name[0] == source} == set(SPLITS)
    assert len({name[0] for name, part in assignments(books, SplitConfig()).items() if part == "test"}) < 8


def test_a_kept_document_stays_in_its_split_when_duplicates_come_and_go() -> None:
    books = {f"m{k:03}": Book() for k in range(60)}
    joined = books | {name: Book(cluster="a" + name) for name in books}
    assert assignments(books, SplitConfig()) == assignments(joined, SplitConfig())


def test_all_train_copies_every_document_and_reports_it(tmp_path: Path) -> None:
    metrics = run_split(tmp_path, {name: Book() for name in "abcd"}, SplitConfig(mode="all_train"))
    assert ids_by_split(tmp_path) == {part: list("abcd") for part in SPLITS} and metrics["shared"] == 1


@pytest.mark.parametrize("config", [SplitConfig(), SplitConfig(mode="counts", test_documents=2)])
def test_too_few_books_are_an_error_with_a_way_out(tmp_path: Path, config: SplitConfig) -> None:
    need = len(config.held_out) + 1
    with pytest.raises(ValueError, match=rf"needs at least {need} different books and found 1; add books, or set split\.mode: all_train"):
        run_split(tmp_path, {"a": Book("a"), "b": Book("a")}, config)


def test_no_documents_unknown_clusters_and_contradictions_are_errors_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no document that a person wrote is left to split"):
        run_split(tmp_path / "none", {"a": Book(synthetic=True)}, SplitConfig())
    with pytest.raises(ValueError, match=r"split.test_documents=5, .*4 documents .*ask for fewer"):
        run_split(tmp_path / "all", {name: Book() for name in "abcd"}, SplitConfig(mode="counts", test_documents=5))
    with pytest.raises(ValueError, match=r"must add up to 1"):
        SplitConfig(train=0.9, val=0.2, test=0.1)
    with pytest.raises(ValueError, match=r"split.mode=counts holds nothing out"):
        SplitConfig(mode="counts")
