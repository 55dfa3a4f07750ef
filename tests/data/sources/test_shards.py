"""The laws of shards: every document is in exactly one, nothing is lost between them, and a changed file concerns one shard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.cleaning.clean import clean
from data.cleaning.config import CleanConfig
from data.documents.sharding import document_id, in_shard, shard_of
from data.shards.durable import file_digest
from data.sources.config import FilesSource, IngestConfig, PackageSource
from data.sources.errors import SourceError, refuse_empty_sources
from data.sources.ingest import IngestInputs, ingest
from data.universe.config import UniverseSource
from data.universe.write import write_universe
from tests.data.sources.material import make_tar, make_zip
from tests.data.sources.reading import Shard, limits, read, rows, states

SHARDS = 5
IDS = st.integers(0, 2**64 - 1).map("{:016x}".format)
COUNTS = st.integers(1, 4096)


def _config(*paths: str, join: str | None = None, shards: int = SHARDS) -> IngestConfig:
    return IngestConfig(sources=(FilesSource(name="shelf", paths=paths or (".",), join=join),), shards=shards)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Thirty texts, a picture among them."""
    root = tmp_path / "shelf"
    root.mkdir()
    for number in range(30):
        (root / f"{number:02}.txt").write_text(f"The text of number {number}.")
    (root / "photo.txt").write_bytes(b"\x89PNG" + bytes(99))
    return root


@given(IDS, COUNTS)
def test_a_document_is_in_exactly_one_shard_and_none_holds_it_without_shards(document: str, count: int) -> None:
    assert 0 <= shard_of(document, count) < count
    assert in_shard(Shard(shard_of(document, count), count), document) and in_shard(None, document)
    assert not any(in_shard(Shard(number, count), document) for number in range(min(count, 50)) if number != shard_of(document, count))


@given(st.lists(IDS, min_size=2), COUNTS)
def test_shards_in_order_hold_ids_in_order(documents: list[str], count: int) -> None:
    numbers = [shard_of(document, count) for document in sorted(documents)]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize("join", [None, r"\d$"], ids=["files", "joined works"])
def test_the_shards_together_are_what_one_shard_gives(root: Path, tmp_path: Path, join: str | None) -> None:
    many = read(_config(join=join), root, tmp_path / "many")
    (one,) = read(_config(join=join, shards=1), root, tmp_path / "one")
    assert {name: sum(metrics[name] for metrics in many) for name in one} == one
    assert rows(tmp_path / "many", "documents", SHARDS) == rows(tmp_path / "one", "documents", 1), "ids ascend through the shards"
    for name in ("quarantine", "ledger"):
        together = sorted(rows(tmp_path / "many", name, SHARDS), key=str)
        assert together == sorted(rows(tmp_path / "one", name, 1), key=str)


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize("join", [None, r"_\d$"], ids=["files", "joined works"])
def test_an_archive_s_shards_together_are_what_one_shard_gives(tmp_path: Path, make: Callable[..., Path], join: str | None) -> None:
    members = {f"tales/{work}_{part}.txt": f"Part {part} of tale {work}.".encode() for work in "abcdefgh" for part in (2, 1)}
    archive = make(tmp_path / "tales-1.0.wheel", members)
    source = PackageSource(package="tales", version="1.0", sha256=file_digest(archive), join=join)
    for shards in (1, SHARDS):
        read(IngestConfig(sources=(source,), shards=shards), tmp_path, tmp_path / f"{shards}")
    documents = rows(tmp_path / f"{SHARDS}", "documents", SHARDS)
    assert documents == rows(tmp_path / "1", "documents", 1) and len(documents) == (16 if join is None else 8)


def test_the_books_of_a_universe_are_read_from_where_its_stage_put_them(tmp_path: Path) -> None:
    source = UniverseSource(books=8, exact_copies=1, near_editions=1)
    write_universe(tmp_path / "made", source)
    read(IngestConfig(sources=(source,), shards=SHARDS), tmp_path, tmp_path / "out", tmp_path / "made" / "books")
    names = sorted(f"books/{path.name}" for path in (tmp_path / "made" / "books").iterdir())
    expected = sorted(document_id("universe", name) for name in names)
    assert [row["id"] for row in rows(tmp_path / "out", "documents", SHARDS)] == expected
    with pytest.raises(SourceError, match="a source of kind universe is read from its generated books"):
        read(IngestConfig(sources=(source,)), tmp_path, tmp_path / "other")


def test_all_files_of_a_joined_work_are_one_shard_s(root: Path) -> None:
    works = [{name[: len("shelf/0")] for name in state if name != "shelf/photo.txt"} for state in states(_config(join=r"\d$"), root)]
    assert sorted(work for shard in works for work in shard) == ["shelf/0", "shelf/1", "shelf/2"]


def _touched(before: list[dict[str, str]], after: list[dict[str, str]]) -> int:
    return sum(old != new for old, new in zip(before, after, strict=True))


@pytest.mark.parametrize("number", range(8))
def test_a_file_added_edited_or_removed_changes_what_is_observed_of_one_shard_and_renamed_of_two_at_most(root: Path, number: int) -> None:
    config, book = _config(), root / f"{number:02}.txt"
    before = states(config, root)
    (root / f"new {number}.txt").write_text("A new text.")
    added = states(config, root)
    book.write_text("An edited text.")
    edited = states(config, root)
    book.rename(root / f"renamed {number}.txt")
    renamed = states(config, root)
    (root / f"renamed {number}.txt").unlink()
    removed = states(config, root)
    assert [_touched(*pair) for pair in ((before, added), (added, edited), (renamed, removed))] == [1, 1, 1]
    assert 1 <= _touched(edited, renamed) <= 2
    (root / "10.txt").touch()
    (root / "picture.png").write_bytes(b"no text")
    assert states(config, root) == removed


def test_every_file_is_observed_of_exactly_one_shard(root: Path) -> None:
    names = [name for state in states(_config(), root) for name in state]
    assert sorted(names) == [f"shelf/{path.name}" for path in sorted(root.iterdir())]


def _swap(root: Path) -> None:
    (root / "00.txt").write_text("Another text of the same name.")


def _remove(root: Path) -> None:
    (root / "00.txt").unlink()


def _hide(root: Path) -> None:
    (root / "00.txt").unlink()
    (root / "00.txt").mkdir()


@pytest.mark.parametrize("change", [_swap, _remove, _hide])
def test_a_file_that_changes_after_it_was_observed_is_an_error_that_names_it_never_another_text(
    root: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    config = _config(shards=1)
    (seen,) = states(config, root)
    change(root)
    with pytest.raises(SourceError, match=r"shelf/00\.txt changed after this run began.*Start the run again"):
        ingest(config, tmp_path / "out", IngestInputs(root, root, observed=seen), Shard(0, 1), **limits(tmp_path / "scratch"))


def test_a_file_that_comes_after_the_others_were_observed_is_an_error_that_names_it(root: Path, tmp_path: Path) -> None:
    (seen,) = states(_config(shards=1), root)
    (root / "late.txt").write_text("Too late.")
    with pytest.raises(SourceError, match=r"shelf/late\.txt changed after this run began"):
        ingest(_config(shards=1), tmp_path / "out", IngestInputs(root, root, observed=seen), Shard(0, 1), **limits(tmp_path / "scratch"))


def test_a_file_too_large_to_read_is_compared_all_the_same(root: Path, tmp_path: Path) -> None:
    config = IngestConfig(sources=_config().sources, shards=1, max_file_megabytes=1)
    (root / "large.txt").write_bytes(b"x" * (3 << 20))
    (seen,) = states(config, root)
    inputs = IngestInputs(root, root, observed=seen)
    ingest(config, tmp_path / "0", inputs, Shard(0, 1), **limits(tmp_path / "scratch"))
    assert "too large: 3145728 bytes, the limit is 1048576" in {row["reason"] for row in rows(tmp_path, "quarantine", 1)}
    (root / "large.txt").write_bytes(b"x" * (3 << 20) + b"y")
    with pytest.raises(SourceError, match=r"shelf/large\.txt changed"):
        ingest(config, tmp_path / "again", inputs, Shard(0, 1), **limits(tmp_path / "scratch"))


def test_a_file_that_was_unreadable_when_observed_is_quarantined_with_that_reason(root: Path, tmp_path: Path) -> None:
    (seen,) = states(_config(shards=1), root)
    seen["shelf/00.txt"] = "unreadable: Permission denied"
    ingest(_config(shards=1), tmp_path / "0", IngestInputs(root, root, observed=seen), Shard(0, 1), **limits(tmp_path / "scratch"))
    assert {"source": "shelf", "path": "00.txt", "reason": "unreadable: Permission denied"} in rows(tmp_path, "quarantine", 1)


def test_a_source_without_a_text_in_any_shard_is_an_error_that_says_why(root: Path, tmp_path: Path) -> None:
    (root / "blank.txt").write_text("")
    config = IngestConfig(sources=(*_config("0*.txt").sources, FilesSource(name="void", paths=("blank.txt", "photo.txt"))), shards=SHARDS)
    metrics = read(config, root, tmp_path / "out")
    quarantines = [tmp_path / "out" / str(number) / "quarantine.parquet" for number in range(SHARDS)]
    with pytest.raises(
        SourceError, match=r"empty corpus: source 'void'.* 2 files or records were quarantined, the first: blank\.txt: empty"
    ):
        refuse_empty_sources(config, root, metrics, quarantines)
    refuse_empty_sources(_config("0*.txt"), root, metrics, [])


def test_an_empty_shard_is_read_and_cleaned_into_empty_files(root: Path, tmp_path: Path) -> None:
    for path in root.iterdir():
        if path.name != "00.txt":
            path.unlink()
    metrics = read(_config(shards=2), root, tmp_path / "read")
    (empty,) = (number for number in range(2) if not metrics[number]["documents"])
    source = tmp_path / "read" / str(empty) / "documents.parquet"
    measured = clean(source, tmp_path / "0", CleanConfig(), threads=1, memory="200MB", scratch=tmp_path / "scratch")
    assert (measured["documents_in"], measured["documents"], measured["characters"]) == (0, 0, 0)
    assert rows(tmp_path, "documents", 1) == rows(tmp_path, "ledger", 1) == []


def test_an_excluded_document_is_in_the_ledger_and_concerns_only_its_own_shard(root: Path, tmp_path: Path) -> None:
    excluded = document_id("shelf", "07.txt")
    config = _config()
    without = config.model_copy(update={"without": (excluded,)})
    before, after = states(config, root), states(without, root)
    (moved,) = (number for number in range(SHARDS) if before[number] != after[number])
    assert moved == shard_of(excluded, SHARDS)
    assert after[moved].keys() - before[moved].keys() == {f"document {excluded} (never to be read)"}
    assert before[moved].keys() - after[moved].keys() == {"shelf/07.txt"}
    read(without, root, tmp_path / "out")
    assert excluded not in {row["id"] for row in rows(tmp_path / "out", "documents", SHARDS)}
    (row,) = (row for row in rows(tmp_path / "out", "ledger", SHARDS) if row["id"] == excluded)
    assert (row["action"], row["rule"]) == ("removed", "never to be read")


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_a_member_of_an_archive_can_be_excluded_too(tmp_path: Path, make: Callable[..., Path]) -> None:
    archive = make(tmp_path / "tales-1.0.wheel", {"tales/a.txt": b"The tale of a.", "tales/b.txt": b"The tale of b."})
    source = PackageSource(package="tales", version="1.0", sha256=file_digest(archive))
    excluded = document_id("tales", "tales/a.txt")
    read(IngestConfig(sources=(source,), shards=1, without=(excluded,)), tmp_path, tmp_path / "out")
    assert [row["title"] for row in rows(tmp_path / "out", "documents", 1)] == ["b"]
