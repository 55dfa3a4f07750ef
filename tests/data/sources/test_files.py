"""Every local file becomes a document or a quarantined file with its reason."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.sources.config import FilesSource, IngestConfig
from data.sources.decode import decode
from data.sources.document_store import name_disagrees, title_of
from data.sources.errors import SourceError
from data.sources.files import find_files, source_state
from data.sources.ingest import IngestInputs, ingest
from data.universe.config import UniverseSource
from tests.data.sources.reading import digests, limits, read, rows

LETTER = "Ágnes wrote: “The café is closed — naïve, but true.”\n" * 20


def _config(*paths: str, join: str | None = None, name: str = "shelf", encoding: str = "detect") -> IngestConfig:
    return IngestConfig(sources=(FilesSource(name=name, paths=paths, join=join, encoding=encoding),))


def _run(root: Path, config: IngestConfig) -> tuple[dict[str, str], dict[str, str], dict[str, float]]:
    """({path: text}, {path: reason of quarantine}, metrics)."""
    output = root.parent / f"{root.name}-out"
    metrics = ingest(config, output, IngestInputs(root, root), **limits(root.parent / "scratch"))
    rows = pq.read_table(output / "documents.parquet").to_pylist()
    lost = pq.read_table(output / "quarantine.parquet").to_pylist()
    ledger = pq.read_table(output / "ledger.parquet").to_pylist()
    assert sum(row["action"] == "kept" for row in ledger) == len(rows) and len(ledger) == len(rows) + len(lost)
    return {json.loads(r["metadata"])["path"]: r["text"] for r in rows}, {r["path"]: r["reason"] for r in lost}, metrics


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "recipe"
    for name in ("a.txt", "b.md", "deep/c.txt", "deep/d.png", ".hidden.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"The text of {name}.")
    return root


def test_a_file_a_folder_and_a_glob_name_the_same_files_once(root: Path) -> None:
    assert set(_run(root, _config("a.txt"))[0]) == {"a.txt"}
    assert set(_run(root, _config("."))[0]) == {"a.txt", "b.md", "deep/c.txt"}
    assert set(_run(root, _config("**/*.txt", "deep", "a.txt"))[0]) == {"a.txt", "deep/c.txt"}
    assert set(_run(root / "deep", _config("../*.md"))[0]) == {"recipe/b.md"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-32"])
def test_a_letter_is_read_whatever_its_encoding(encoding: str) -> None:
    text = LETTER if encoding != "cp1252" else LETTER.replace("\n", "\r\n")
    assert decode(text.encode(encoding))[0] == text


def test_a_few_old_bytes_in_utf8_are_read_as_what_they_are() -> None:
    mixed = LETTER.encode() + "“Enough”, she said.".encode("cp1252")
    assert decode(mixed) == (LETTER + "“Enough”, she said.", "utf-8+cp1252")


def test_files_read_at_once_are_read_as_each_alone() -> None:
    few = LETTER.encode() + "“Enough”, she said.".encode("cp1252")
    many = "“So” – “it” – “goes”…\n".encode("cp1252") * 20
    alone = [decode(content) for content in (few, many)]
    assert [encoding for _, encoding in alone] == ["utf-8+cp1252", "cp1252"]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(decode, [few, many] * 400)) == alone * 400
    finally:
        sys.setswitchinterval(interval)


@given(st.text(min_size=1).filter(lambda text: text.strip() and "\0" not in text and not text.startswith("\ufeff")))
def test_text_in_utf8_comes_back_as_it_was_or_is_refused(text: str) -> None:
    try:
        assert decode(text.encode())[0] == text
    except ValueError as error:
        assert str(error).startswith(("empty", "binary", "not "))


def test_binary_and_empty_files_are_quarantined_with_their_reason_and_counted(root: Path) -> None:
    (root / "empty.txt").write_bytes(b" \n")
    (root / "photo.txt").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    (root / "noise.txt").write_bytes(bytes(range(32)) * 99)
    texts, lost, metrics = _run(root, _config("."))
    assert set(texts) == {"a.txt", "b.md", "deep/c.txt"} and metrics["quarantined"] == 3
    reasons = {path: reason.partition(":")[0] for path, reason in lost.items()}
    assert reasons == {"empty.txt": "empty", "photo.txt": "binary", "noise.txt": "binary"}
    assert _run(root, _config("a.txt", encoding="ascii"))[0]
    (root / "e.txt").write_bytes("é".encode("cp1252"))
    assert _run(root, _config("a.txt", "e.txt", encoding="ascii"))[1]["e.txt"].startswith("not ascii")


def test_parts_of_a_work_become_one_document_in_the_order_of_their_names(root: Path) -> None:
    for part in ("10", "02", "01"):
        (root / f"Emma_ch{part}.txt").write_text(f"Part {part}.")
    texts, _, metrics = _run(root, _config("*.txt", join=r"_ch\d+$"))
    assert texts["Emma.txt"] == "Part 01.\n\nPart 02.\n\nPart 10."
    assert set(texts) == {"Emma.txt", "a.txt"} and metrics["joined_parts"] == 3


def test_the_source_state_is_the_digest_of_each_file_by_its_name(root: Path) -> None:
    state = source_state(_config("*.txt", "deep"), root, None, digests)
    assert state == {f"shelf/{name}": hashlib.sha256(f"The text of {name}.".encode()).hexdigest() for name in ("a.txt", "deep/c.txt")}


def test_the_order_of_files_and_the_location_of_the_root_change_no_byte(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "root"
    for name in ("deep/c.txt", "b.md", "a.txt"):
        (other / name).parent.mkdir(parents=True, exist_ok=True)
        (other / name).write_bytes((root / name).read_bytes())
    for folder in (root, other):
        ingest(_config("."), folder.parent / f"{folder.name}-made", IngestInputs(folder, folder), **limits(tmp_path / "scratch"))
    for name in ("documents", "quarantine", "ledger"):
        first, second = (folder.parent / f"{folder.name}-made" / f"{name}.parquet" for folder in (root, other))
        assert first.read_bytes() == second.read_bytes()


def test_what_is_missing_or_named_twice_is_one_error_that_says_so(root: Path) -> None:
    with pytest.raises(SourceError, match=r"'gone\.txt' does not exist under .*Correct `paths`"):
        _run(root, _config("gone.txt"))
    with pytest.raises(SourceError, match=r"'\*\.epub' matches no file"):
        _run(root, _config("*.epub"))
    with pytest.raises(ValueError, match=r"two are called 'shelf'; give each a `name` of its own"):
        IngestConfig(sources=(_config("a.txt").sources[0], _config("b.md").sources[0]))
    with pytest.raises(ValueError, match=r"two are of kind universe; a corpus can hold one"):
        IngestConfig(sources=(UniverseSource(), UniverseSource(seed=8)))


def test_a_title_is_what_the_text_says_and_else_the_files_name() -> None:
    assert title_of("x/Hamlet.txt", "MACBETH\r\r\n\r\r\nby William Shakespeare\r\r\n") == "MACBETH"
    assert title_of("x.txt", "Produced by A. Typist\n\n\nOn Liberty.\n\nBy John Stuart Mill") == "On Liberty."
    assert title_of("x.txt", "The Project Gutenberg EBook\n\nTitle: Emma\n\nAuthor: Jane Austen") == "Emma"
    openings = ("It was late\nand dark.", "CHAPTER I\n\nIt was", "Enter CHORUS.\n\nNot", '"So it goes."\n\nHe', "All is well.\n\nOr so")
    for opening in openings:
        assert title_of("shelf/Moby_Dick.txt", opening) == "Moby Dick"
    assert name_disagrees("Hamlet_Prince.txt", "Macbeth") and not name_disagrees("Hamlet_Prince.txt", "the prince")
    assert name_disagrees("Shakespeare_Hamlet.txt", "MACBETH\n\nby William Shakespeare\n\nEnter three witches.\n")
    assert not name_disagrees("comedy_of_errours.txt", "The Comedie of Errors\n\nEnter the Duke.\n")
    assert not name_disagrees("Anne_Bronte_Agnes_Grey.txt", "THE PARSONAGE\n\nMy sister Anne told Agnes of a grey house.\n")


def test_a_name_that_is_no_utf8_is_written_out_and_its_text_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "shelf"
    folder.mkdir()
    (folder / os.fsdecode(b"caf\xe9.txt")).write_text("The text of the café.")
    source = FilesSource(name="shelf", paths=(".",))
    assert list(find_files(source, folder)) == ["caf\\xe9.txt"]
    read(IngestConfig(sources=(source,), shards=1), folder, tmp_path / "out")
    (row,) = rows(tmp_path / "out", "documents", 1)
    assert row["text"] == "The text of the café."
