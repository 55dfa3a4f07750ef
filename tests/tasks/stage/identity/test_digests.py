"""Cached digests count only while a file can't have changed, whoever edits it and however the edit is hidden."""

from __future__ import annotations

import hashlib
import logging
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.stage.identity import digests as module
from tasks.stage.identity.digests import DigestCache, hash_files
from tasks.stage.store.artifact import list_files


@pytest.fixture
def memory(tmp_path: Path) -> DigestCache:
    """An empty cache in a folder that does not exist yet."""
    return DigestCache(tmp_path / "home" / "cache" / "digests.db")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files read since this list was cleared."""
    read: list[Path] = []
    real = module._read_one

    def noted(path: Path) -> tuple[Path, str, str]:
        read.append(path)
        return real(path)

    monkeypatch.setattr(module, "_read_one", noted)
    return read


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as settled at once, so that tests need not wait."""
    monkeypatch.setattr(module, "SETTLE_SECONDS", 0.0)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def file(folder: Path, name: str, content: bytes) -> Path:
    (folder / name).write_bytes(content)
    return folder / name


def test_a_file_is_read_once_by_all_who_share_the_memory(memory: DigestCache, reads: list[Path], settled: None, tmp_path: Path) -> None:
    paths = [file(tmp_path, f"{i}.txt", b"x" * i) for i in range(1200)]
    expected = {path: sha256(path.read_bytes()) for path in paths}
    assert memory.of(paths) == expected
    assert sorted(reads) == sorted(paths)
    reads.clear()
    assert memory.of(paths) == DigestCache(memory.path).of(paths) == expected
    assert reads == []


def test_what_was_modified_within_the_last_two_seconds_is_read_again(memory: DigestCache, reads: list[Path], tmp_path: Path) -> None:
    path = file(tmp_path, "a.txt", b"alpha")
    memory.of([path])
    memory.of([path])
    assert reads == [path, path]
    time.sleep(module.SETTLE_SECONDS + 0.1)
    memory.of([path])
    memory.of([path])
    assert reads == [path, path, path]


def remove_and_make(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


EDITS: dict[str, Callable[[Path, bytes], object]] = {
    "written over": lambda path, content: path.write_bytes(content),
    "replaced": lambda path, content: file(path.parent, "new", content).replace(path),
    "removed and made": remove_and_make,
}


@given(old=st.binary(min_size=1, max_size=40), data=st.data(), how=st.sampled_from(sorted(EDITS)), restore=st.booleans())
def test_every_edit_is_seen_even_one_that_keeps_the_size_and_sets_the_time_back(
    tmp_path_factory: pytest.TempPathFactory, old: bytes, data: st.DataObject, how: str, restore: bool
) -> None:
    folder = tmp_path_factory.mktemp("edit")
    new = data.draw(st.binary(min_size=len(old), max_size=len(old)))
    path, memory = file(folder, "a.txt", old), DigestCache(folder / "digests.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SETTLE_SECONDS", 0.02)  # longer than a tick of any disk's clock
        time.sleep(0.03)
        assert memory.of([path]) == memory.of([path]) == {path: sha256(old)}
        before = path.stat()
        EDITS[how](path, new)
        if restore:
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert memory.of([path]) == {path: sha256(new)}


def test_a_file_that_changes_while_it_is_read_is_not_remembered(
    memory: DigestCache, settled: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file(tmp_path, "a.txt", b"alpha")
    real = hashlib.file_digest

    def slow(stream: object, kind: str) -> object:
        found = real(stream, kind)  # type: ignore[arg-type]
        path.write_bytes(b"ALPHA")
        return found

    monkeypatch.setattr(hashlib, "file_digest", slow)
    memory.of([path])
    monkeypatch.setattr(hashlib, "file_digest", real)
    assert memory.of([path]) == {path: sha256(b"ALPHA")}


def test_what_cannot_be_read_says_why_and_stops_nothing(memory: DigestCache, tmp_path: Path) -> None:
    good = file(tmp_path, "good.txt", b"good")
    asked = [tmp_path / "gone.txt", good, tmp_path]
    expected = ["unreadable: No such file or directory", sha256(b"good"), "unreadable: Is a directory"]
    assert list(memory.of(asked).values()) == list(hash_files(asked).values()) == expected
    assert memory.of([]) == {}


def test_an_artifact_with_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = file(tmp_path, "a.txt", b"alpha")
    monkeypatch.setattr(module, "_read_one", lambda path: (path, "", f"{module.UNREADABLE}Input/output error"))
    with pytest.raises(OSError, match=f"{path}: unreadable: Input/output error"):
        list_files(tmp_path)


def spoil_header(path: Path) -> None:
    path.write_bytes(b"not a database at all, but longer than its header" * 100)


def spoil_middle(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def spoil_row(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("UPDATE digests SET sha256 = ?", ("0" * 64,))
    database.close()


def spoil_table(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("ALTER TABLE digests RENAME COLUMN seen TO other")
    database.close()


@pytest.mark.parametrize("spoil", [spoil_header, spoil_middle, spoil_row, spoil_table])
def test_a_damaged_memory_is_thrown_away_with_a_line_that_says_so_and_built_again(
    spoil: Callable[[Path], None],
    memory: DigestCache,
    settled: None,
    reads: list[Path],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    paths = [file(tmp_path, f"{i}.txt", b"%d" % i) for i in range(100)]
    expected = memory.of(paths)
    memory.close()
    spoil(memory.path)
    reads.clear()
    with caplog.at_level(logging.INFO, "folio"):
        assert DigestCache(memory.path).of(paths) == expected
    assert len([r for r in caplog.messages if "was damaged" in r and "rebuilding it" in r]) == 1
    assert sorted(reads) == sorted(paths)
    reads.clear()
    assert DigestCache(memory.path).of(paths) == expected
    assert reads == []


def test_a_memory_that_cannot_be_opened_is_done_without_and_said_once(
    tmp_path: Path, settled: None, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("in the way")
    path, memory = file(tmp_path, "a.txt", b"alpha"), DigestCache(tmp_path / "cache" / "digests.db")
    with caplog.at_level(logging.INFO, "folio"):
        assert memory.of([path]) == memory.of([path]) == {path: sha256(b"alpha")}
    assert len([line for line in caplog.messages if "can't be used" in line]) == 1


SHARE = """
import sys
from pathlib import Path
from tasks.stage.identity import digests
digests.SETTLE_SECONDS = 0.0
for start in range(0, 400, 20):
    paths = sorted(Path(sys.argv[2]).glob("*.txt"))[start : start + 20]
    assert all(len(digest) == 64 for digest in digests.DigestCache(Path(sys.argv[1])).of(paths).values())
"""


def test_processes_write_one_memory_at_once(memory: DigestCache, reads: list[Path], tmp_path: Path) -> None:
    books = tmp_path / "books"
    books.mkdir()
    paths = [file(books, f"{i}.txt", b"%d" % i) for i in range(400)]
    others = [subprocess.Popen([sys.executable, "-c", SHARE, str(memory.path), str(books)], stderr=subprocess.PIPE) for _ in range(4)]
    assert [other.communicate()[1] for other in others] == [b""] * 4
    assert memory.of(paths) == {path: sha256(path.read_bytes()) for path in paths}
    assert reads == []


def test_files_that_are_gone_are_forgotten_when_asked(memory: DigestCache, settled: None, reads: list[Path], tmp_path: Path) -> None:
    kept, gone = file(tmp_path, "kept.txt", b"kept"), file(tmp_path, "gone.txt", b"gone")
    memory.of([kept, gone])
    gone.unlink()
    assert memory.prune() == 1
    reads.clear()
    memory.of([kept])
    assert reads == []
