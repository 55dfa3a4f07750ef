"""Content hashes of files, computed in parallel and cached: a file is read again only if it may have changed.

A cached digest counts only while the size, modification time, change time, inode and device of the file are the same, so an edit is seen
even if it keeps the size and resets the modification time: nobody can reset the change time. A file modified less than `SETTLE_SECONDS`
before it was read is not cached, since a second edit within one tick of the disk's clock would look the same.
The cache is a SQLite file that any number of processes share, and it is optional: a damaged one is rebuilt, with a warning, and one that
can't be opened is ignored. It can't see silent corruption on the disk; `hash_files` reads the files again.
The cost is one `stat` and one row per file, and about 0.2 ms to open.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TypeVar

from tasks.stage.system.locks import local_lock
from tasks.stage.system.process_identity import ProcessIdentity
from tasks.stage.system.progress import log

SETTLE_SECONDS = 2.0
FLUSH_SECONDS = 1.0
BUSY_SECONDS = 30.0
CHUNK = 500
WORTH_THREADS = 4_000_000  # bytes that one thread reads in the time it takes to start several
UNREADABLE = "unreadable: "
DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}
SCHEMA = "CREATE TABLE IF NOT EXISTS digests (path BLOB PRIMARY KEY, seen TEXT, sha256 TEXT, checksum INTEGER) WITHOUT ROWID"

Row = tuple[bytes, str, str, int]
T = TypeVar("T")


class SpoiledRow(sqlite3.DatabaseError):
    """A row of the cache differs from what was written."""


def hash_file(path: Path) -> str:
    """Return the hex sha256 of a file, read in blocks."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_files(paths: Iterable[Path]) -> dict[Path, str]:
    """Return the hex sha256 of each file on disk, with one thread per core; `unreadable: why` for a file that can't be read."""
    return dict(read_digests(dict.fromkeys(paths)))


def read_digests(paths: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    """Yield what `hash_files` returns, one by one in the given order."""
    return ((path, digest) for path, _, digest in _read(paths))


class DigestCache:
    """Hashes cached in the SQLite file at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._opened: tuple[ProcessIdentity, sqlite3.Connection] | None = None
        self._unusable = False

    def __reduce__(self) -> tuple[type[DigestCache], tuple[Path]]:
        """Pickle as the path; another process then opens the file itself."""
        return DigestCache, (self.path,)

    def of(self, paths: Iterable[Path]) -> dict[Path, str]:
        """Return the hex sha256 of each file, cached or read now; `unreadable: why` for a file that can't be read."""
        wanted = dict.fromkeys(paths)
        seen = {path: found for path in wanted if (found := _current_signature(path)) is not None}
        known = self._look_up(seen)
        digests = known.copy()
        fresh: list[Row] = []
        flushed = time.monotonic()
        for path, find_reusable, digest in _read(path for path in wanted if path not in known):
            digests[path] = digest
            if find_reusable:
                fresh.append(_row(path, find_reusable, digest))
            if fresh and time.monotonic() - flushed > FLUSH_SECONDS:
                self._store(fresh)
                fresh, flushed = [], time.monotonic()
        if fresh:
            self._store(fresh)
        return {path: digests[path] for path in wanted}

    def prune(self) -> int:
        """Forget files that are gone; return how many."""

        def forget(database: sqlite3.Connection) -> int:
            gone = [(name,) for (name,) in database.execute("SELECT path FROM digests") if not os.path.lexists(name)]
            with _transaction(database):
                database.executemany("DELETE FROM digests WHERE path = ?", gone)
            return len(gone)

        return self._use(forget, 0)

    def close(self) -> None:
        """Close the file; it is opened again when needed."""
        with self._lock:
            if self._opened is not None and self._opened[0].is_this_process():
                self._opened[1].close()
            self._opened = None

    def _look_up(self, seen: dict[Path, str]) -> dict[Path, str]:
        names = {_name(path): path for path in seen}

        def look_up(database: sqlite3.Connection) -> list[Row]:
            rows: list[Row] = []
            for some in _batches(list(names)):
                marks = ",".join("?" * len(some))
                rows += database.execute(f"SELECT path, seen, sha256, checksum FROM digests WHERE path IN ({marks})", some)
            if any(_checksum(*row[:3]) != row[3] for row in rows):
                raise SpoiledRow("a row differs from what was written")
            return rows

        nothing: list[Row] = []
        rows = self._use(look_up, nothing) if names else nothing
        return {names[name]: sha256 for name, then, sha256, _ in rows if seen[names[name]] == then}

    def _store(self, rows: list[Row]) -> None:
        def write(database: sqlite3.Connection) -> None:
            with _transaction(database):
                database.executemany("INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?)", rows)

        self._use(write, None)

    def _use(self, work: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """Run `work` on the database; rebuild a damaged one once; return `otherwise` if it can't be used."""
        with self._lock:
            if self._unusable:
                return otherwise
            try:
                try:
                    return work(self._database())
                except sqlite3.DatabaseError as error:
                    if not _damaged(error):
                        raise
                    self._rebuild(error, work)
                    return work(self._database())
            except (sqlite3.Error, OSError) as error:
                self._unusable = True
                log(f"{self.path} can't be used ({error}), so files are hashed each time; make it writable or remove it")
                return otherwise

    def _database(self) -> sqlite3.Connection:
        # A forked child can't use its parent's connection.
        if self._opened is None or not self._opened[0].is_this_process():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with local_lock(self._guard, lambda: None):
                self._opened = ProcessIdentity.this(), _connect(self.path)
        return self._opened[1]

    def _rebuild(self, error: sqlite3.DatabaseError, work: Callable[[sqlite3.Connection], object]) -> None:
        if self._opened is not None:
            self._opened[1].close()
        self._opened = None
        with local_lock(self._guard, lambda: None):
            # Another process may have rebuilt the file already; its new file must be kept.
            try:
                with closing(_connect(self.path)) as database:
                    work(database)
                return
            except sqlite3.DatabaseError as again:
                if not _damaged(again):
                    raise
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        log(f"{self.path}, the cache of file digests, was damaged ({error}); rebuilding it")

    @property
    def _guard(self) -> Path:
        return self.path.with_name(f"{self.path.name}.lock")


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(SCHEMA)
    except sqlite3.Error:
        database.close()
        raise
    return database


@contextmanager
def _transaction(database: sqlite3.Connection) -> Iterator[None]:
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def _damaged(error: sqlite3.DatabaseError) -> bool:
    return isinstance(error, SpoiledRow) or getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF in DAMAGE


def _read(paths: Iterable[Path]) -> Iterator[tuple[Path, str, str]]:
    """Yield (file, its stat signature or "" when it is not settled, digest), in the given order."""
    paths = list(paths)
    if len(paths) < 2 or sum(map(_size, paths)) < WORTH_THREADS:
        yield from map(_read_one, paths)
        return
    with ThreadPoolExecutor(min(len(paths), len(os.sched_getaffinity(0)))) as pool:
        yield from pool.map(_read_one, paths)


def _read_one(path: Path) -> tuple[Path, str, str]:
    started = time.time()
    try:
        with path.open("rb") as stream:
            before = os.fstat(stream.fileno())
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            after = os.fstat(stream.fileno())
    except OSError as error:
        return path, "", f"{UNREADABLE}{error.strerror}"
    # Unsettled: the file changed while it was read, or so recently that another change could leave the same times.
    still = _signature(before) == _signature(after) and started - max(before.st_mtime, before.st_ctime) >= SETTLE_SECONDS
    return path, _signature(before) if still else "", digest


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _current_signature(path: Path) -> str | None:
    try:
        return _signature(path.stat())
    except OSError:
        return None


def _signature(found: os.stat_result) -> str:
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino} {found.st_dev}"


def _name(path: Path) -> bytes:
    return os.fsencode(path.absolute())


def _row(path: Path, seen: str, digest: str) -> Row:
    name = _name(path)
    return name, seen, digest, _checksum(name, seen, digest)


def _checksum(name: bytes, seen: str, digest: str) -> int:
    return zlib.crc32(b"\0".join((name, seen.encode(), digest.encode())))


def _batches(names: list[bytes]) -> Iterator[list[bytes]]:
    for start in range(0, len(names), CHUNK):
        yield names[start : start + CHUNK]
