"""How the split treats synthetic documents, and how it accounts for every document."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from data.shards.names import SPLITS
from data.splits.assignment import split
from data.splits.config import ASSIGNED, LARGE_CLUSTERS, LargeCluster, SplitConfig
from tests.data.dedup.books import write
from tests.data.splits.book_splits import Book, Books, assignments, ids_by_split, rows_of, run_split, write_files
from tests.data.splits.sharded import split_shards

BOOKS: Books = {f"{k:03}": Book(size=100) for k in range(60)}
WRITTEN: Books = {f"s{k:03}": Book(size=10 + k, synthetic=True) for k in range(40)}


def _rows(folder: Path, file: str) -> list[dict[str, object]]:
    return rows_of(folder / "out", file)


def test_synthetic_documents_go_to_train_up_to_their_share_in_the_order_of_a_hash(tmp_path: Path) -> None:
    metrics = run_split(tmp_path, BOOKS | WRITTEN, SplitConfig(seed=4, synthetic_share=0.1))
    found = ids_by_split(tmp_path)
    real = sum(BOOKS[name].size for name in found["train"] if name in BOOKS)
    expected, room = set(), real / 9
    for name in sorted(WRITTEN, key=lambda name: sha256(f"4:{name}".encode()).hexdigest()):
        room -= WRITTEN[name].size
        if room < 0:
            break
        expected.add(name)
    assert expected and expected == set(found["train"]) & set(WRITTEN)
    assert not (set(found["val"]) | set(found["test"])) & set(WRITTEN)
    size = sum(WRITTEN[name].size for name in expected)
    assert metrics["synthetic_characters"] == size and metrics["synthetic_documents"] == len(expected)
    assert metrics["synthetic_share"] == pytest.approx(size / (size + real)) and 0.08 < metrics["synthetic_share"] <= 0.1
    assert {str(row["id"]) for row in _rows(tmp_path, "removed/synthetic_cap.parquet")} == set(WRITTEN) - expected
    assert metrics["synthetic_dropped"] == len(WRITTEN) - len(expected)


@settings(max_examples=15)
@given(st.sets(st.sampled_from(sorted(WRITTEN))), st.sampled_from([0.0, 0.02, 0.5]), st.sampled_from(["fractions", "counts"]))
def test_synthetic_documents_move_no_book_and_stay_within_their_share(written: set[str], share: float, mode: str) -> None:
    config = SplitConfig.model_validate({"synthetic_share": share, "mode": mode, **({"test_documents": 9} if mode == "counts" else {})})
    found = assignments(BOOKS | {name: WRITTEN[name] for name in written}, config)
    assert {name: found[name] for name in BOOKS} == assignments(BOOKS, config)
    sizes = [WRITTEN[name].size for name in found if name in WRITTEN]
    total = sum(100 for name in BOOKS if found[name] == "train") + sum(sizes)
    assert sum(sizes) <= share * total + 1e-9


def test_a_synthetic_copy_of_a_held_out_book_is_dropped_whatever_its_id(tmp_path: Path) -> None:
    held = {part: names for part, names in _held(SplitConfig()).items()}
    copies = {f"000copy of {name}": Book(cluster=name, synthetic=True) for names in held.values() for name in names}
    run_split(tmp_path, BOOKS | copies, SplitConfig(synthetic_share=0.9))
    found = ids_by_split(tmp_path)
    assert {part: found[part] for part in ("val", "test")} == {part: held[part] for part in ("val", "test")}
    assert {row["id"] for row in _rows(tmp_path, "removed/synthetic_copy.parquet")} == {
        name for name, book in copies.items() if book.cluster in {*held["val"], *held["test"]}
    }
    assert {name for name, book in copies.items() if book.cluster in held["train"]} <= set(found["train"])


def _held(config: SplitConfig) -> dict[str, list[str]]:
    found = assignments(BOOKS, config)
    return {part: [name for name in BOOKS if found[name] == part] for part in SPLITS}


@pytest.mark.parametrize("mode", ["fractions", "counts", "all_train"])
def test_every_document_has_one_closing_row_with_its_split(tmp_path: Path, mode: str) -> None:
    counts = {"val_documents": 3, "test_documents": 2} if mode == "counts" else {}
    run_split(tmp_path, BOOKS | WRITTEN, SplitConfig.model_validate({"mode": mode, **counts}), "gone")
    ledger, found = _rows(tmp_path, "ledger.parquet"), ids_by_split(tmp_path)
    assert [row["id"] for row in ledger] == sorted(BOOKS | WRITTEN)
    for row in ledger:
        name, size = str(row["id"]), (BOOKS | WRITTEN)[str(row["id"])].size
        kept = row["action"] == "kept"
        assert row["net"] == (0 if kept else size) and row["characters"] == size
        assert kept == (name in found[str(row["rule"])] if kept else False)
    assert mode != "all_train" or set(found["val"]) == set(BOOKS) == set(found["train"]) & set(BOOKS)


def test_threads_and_the_order_of_documents_change_no_byte(tmp_path: Path) -> None:
    books = BOOKS | WRITTEN
    made = []
    for number, threads in enumerate((1, 3)):
        run_split(tmp_path / str(number), books, SplitConfig(), threads=threads)
        made.append({path.name: path.read_bytes() for path in sorted((tmp_path / str(number) / "out").rglob("*.parquet"))})
    table = pq.read_table(tmp_path / "0" / "documents.parquet")
    pq.write_table(table.take(list(reversed(range(table.num_rows)))), tmp_path / "backwards.parquet")
    limits = {"threads": 2, "memory": "500MB", "scratch": tmp_path / "scratch"}
    split_shards([tmp_path / "backwards.parquet"], tmp_path / "0" / "clusters.parquet", tmp_path / "2", SplitConfig(), **limits)
    made.append({path.name: path.read_bytes() for path in sorted((tmp_path / "2").rglob("*.parquet"))})
    assert made[0] == made[1] == made[2] and set(made[0]) >= {"train.parquet", "ledger.parquet", "synthetic_cap.parquet"}


def test_a_cluster_larger_than_its_split_is_named_with_what_was_asked_and_found_in_the_result_and_in_the_ledger(tmp_path: Path) -> None:
    held = assignments(BOOKS, SplitConfig(val=0.1, train=0.8, test=0.1))
    name = next(name for name, part in held.items() if part == "test")
    copies = {f"{name}-{k}": Book(cluster=name) for k in range(60)}
    metrics = run_split(tmp_path, BOOKS | copies, SplitConfig(val=0.1, train=0.8, test=0.1))
    (told,) = json.loads((tmp_path / "out-steps" / LARGE_CLUSTERS).read_text())
    found = ids_by_split(tmp_path)["test"]
    assert told == {
        "split": "test", "cluster": name, "documents": 61, "asked": 12.0, "found": len(found), "total": 120, "mode": "fractions",
    }  # fmt: skip
    warning = LargeCluster.model_validate(told).warning
    for words in (
        f"test has {len(found)} of 120 documents",
        "asks for 12 (10.0%)",
        f"61 near-duplicates of document {name}",
        "raise split.test",
    ):
        assert words in warning
    assert metrics["large_clusters"] == 1 and {**held, **{copy: "test" for copy in copies}} == assignments(
        BOOKS | copies, SplitConfig(val=0.1, train=0.8, test=0.1)
    ), "the cluster moves no other book"
    said = {
        row["id"]
        for row in _rows(tmp_path, "ledger.parquet")
        if "its 61 documents stay together, and test should have 12.0" in str(row["detail"])
    }
    assert said == {name, *copies}


@settings(max_examples=6)
@given(st.lists(st.integers(1, 30), min_size=4, max_size=12), st.sampled_from(("fractions", "counts")), st.integers(0, 99))
def test_a_split_says_of_exactly_those_clusters_that_they_are_larger_than_it_should_be(sizes: list[int], mode: str, seed: int) -> None:
    books = {f"{k:02}-{n:02}": Book(cluster=f"{k:02}-00") for k, size in enumerate(sizes) for n in range(size)}
    asked = {"test": 0.2 * len(books), "val": 0.1 * len(books)} if mode == "fractions" else {"test": 3.0, "val": 1.0}
    given_sizes = {"test_documents": 3, "val_documents": 1} if mode == "counts" else {"train": 0.7, "test": 0.2, "val": 0.1}
    assume(mode == "fractions" or len(books) > max(sizes) * 3)
    with TemporaryDirectory() as folder:
        run_split(Path(folder), books, SplitConfig.model_validate({"mode": mode, "seed": seed, **given_sizes}))
        found = ids_by_split(Path(folder))
        file = Path(folder) / "out-steps" / LARGE_CLUSTERS
        told = json.loads(file.read_text()) if file.exists() else []
    clusters = {part: Counter(name[:2] for name in found[part]) for part in asked}
    expected = {(part, f"{name}-00", n) for part, held in clusters.items() for name, n in held.items() if n > max(1, asked[part])}
    assert {(one["split"], one["cluster"], one["documents"]) for one in told} == expected
    assert all(one["found"] == len(found[one["split"]]) and one["total"] == len(books) for one in told)


@pytest.mark.parametrize("mode", ["all_train", "passages"])
def test_where_clusters_take_no_share_none_is_too_large(tmp_path: Path, mode: str) -> None:
    books = {"long": Book(size=90_000)} | {f"{k:02}": Book(cluster="00") for k in range(20)}
    assert run_split(tmp_path, books, SplitConfig.model_validate({"mode": mode}))["large_clusters"] == 0


SPLIT_MODES: list[dict[str, object]] = [
    {},
    {"mode": "counts", "val_documents": 5, "test_documents": 4},
    {"mode": "all_train"},
    {"mode": "passages", "train": 0.5, "val": 0.25, "test": 0.25},
]


@pytest.mark.parametrize("more", SPLIT_MODES, ids=["fractions", "counts", "all_train", "passages"])
def test_any_number_of_shards_gives_the_rows_and_metrics_of_one(tmp_path: Path, more: dict[str, object]) -> None:
    long = {f"b{k:02}": Book(size=5000) for k in range(20)}
    pairs = {f"a{k:02}": Book(cluster=f"b{k:02}", size=4000) for k in range(10)}
    books, config = long | pairs | WRITTEN, SplitConfig.model_validate({"synthetic_share": 0.002, **more})
    whole = run_split(tmp_path / "whole", books, config)
    parts = [dict(sorted(books.items())[number::3]) for number in range(3)]
    # The ids of these shards overlap, and each near-duplicate is in another shard than its twin.
    shards = [write_files(tmp_path / f"part{number}", part)[0] for number, part in enumerate([*parts, {}])]
    limits = {"threads": 1, "memory": "500MB", "scratch": tmp_path / "scratch"}
    folders, metrics = split_shards(shards, tmp_path / "whole" / "clusters.parquet", tmp_path / "out", config, **limits)
    assert metrics == whole and metrics["synthetic_dropped"] and len(folders) == 4
    for file in (*(f"{part}.parquet" for part in SPLITS), "ledger.parquet", "removed/synthetic_cap.parquet"):
        assert sorted(rows_of(tmp_path / "out", file), key=str) == sorted(rows_of(tmp_path / "whole" / "out", file), key=str), file
    placed = {name: part for part, names in ids_by_split(tmp_path).items() for name in names if config.mode in ("fractions", "counts")}
    assert all(placed[name] == placed[f"b{name[1:]}"] for name in pairs if placed)


def test_a_shard_is_not_divided_by_the_assignment_of_another(tmp_path: Path) -> None:
    shards = [write_files(tmp_path / name, {f"{name}{k}": Book() for k in range(9)})[0] for name in "ab"]
    clusters = write_files(tmp_path / "all", {f"{name}{k}": Book() for name in "ab" for k in range(9)})[1]
    limits = {"threads": 1, "memory": "500MB", "scratch": tmp_path / "scratch"}
    split_shards(shards, clusters, tmp_path / "out", SplitConfig(), **limits)
    other = tmp_path / "out-steps" / ASSIGNED.format(1)
    with pytest.raises(ValueError, match=r"document a0 of documents.parquet is not the next one assigned"):
        split(shards[0], other, tmp_path / "wrong", SplitConfig().dividing, **limits)  # type: ignore[arg-type]


def test_a_document_without_a_cluster_is_named(tmp_path: Path) -> None:
    documents = write(tmp_path, {name: name for name in "abc"})
    clusters = tmp_path / "other"
    run_split(clusters, {"a": Book(), "b": Book(), "x": Book(), "y": Book()}, SplitConfig())
    limits = {"threads": 1, "memory": "500MB", "scratch": tmp_path / "scratch"}
    with pytest.raises(ValueError, match=r"document c is in no cluster of clusters.parquet"):
        split_shards([documents], clusters / "clusters.parquet", tmp_path / "out", SplitConfig(), **limits)


def test_a_cluster_of_two_sources_belongs_to_that_of_the_document_that_names_it() -> None:
    books = {f"{k:03}": Book(source="one") for k in range(9)} | {"zz": Book("000", source="two")}
    config = SplitConfig(mode="counts", val_documents=3, test_documents=3, stratify="source")
    assert assignments(books, config) == assignments(books | {"zz": replace(books["zz"], source="one")}, config)
