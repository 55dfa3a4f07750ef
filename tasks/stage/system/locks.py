"""Locks between processes: `flock` on a local disk, leases on an object store.

The kernel drops a `flock` when its owner dies, however it dies. A lease is an object that names its owner and when it expires, renewed
while the owner lives. A dead owner's lease is taken over after `LEASE_SECONDS`, and an owner that wakes up after that leaves its
successor's lease alone. An object store without conditional writes can let two owners in within the settling time; both then write the
same bytes under the same key, so this costs work, never correctness.
"""

from __future__ import annotations

import fcntl
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import fsspec

LEASE_SECONDS = 60.0
POLL_SECONDS = 0.2


def local_lock(path: Path, on_wait: Callable[[], None]) -> AbstractContextManager[None]:
    """Hold an exclusive lock on a file, waiting while another process holds it; `on_wait` is called once before waiting."""
    return _flock(path, fcntl.LOCK_EX, on_wait)


def shared_lock(path: Path, on_wait: Callable[[], None]) -> AbstractContextManager[None]:
    """Hold a shared lock, waiting while a process holds it exclusively (`try_lock`)."""
    return _flock(path, fcntl.LOCK_SH, on_wait)


def try_lock(path: Path) -> AbstractContextManager[None]:
    """Hold an exclusive lock. Raises BlockingIOError at once if another process holds it."""
    return _flock(path, fcntl.LOCK_EX, None)


@contextmanager
def _flock(path: Path, kind: int, on_wait: Callable[[], None] | None) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if on_wait is None:
                raise
            on_wait()
            fcntl.flock(handle, kind)
        yield


def is_locked(path: Path) -> bool:
    """Return whether a process holds the lock on a file."""
    try:
        with path.open("rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextmanager
def lease_lock(fs: fsspec.AbstractFileSystem, path: str, on_wait: Callable[[], None], seconds: float = LEASE_SECONDS) -> Iterator[None]:
    """Hold a lease object, renewing it until the block ends."""
    owner = uuid.uuid4().hex
    waited = False
    while True:
        lease = _read(fs, path)
        if lease is None or lease[1] < time.time():
            _write(fs, path, owner, seconds)
            # Without conditional writes the last writer wins: wait until all have written, then see who that was.
            time.sleep(POLL_SECONDS)
            if _owned(fs, path, owner):
                break
        if not waited:
            waited = True
            on_wait()
        time.sleep(POLL_SECONDS)
    done = threading.Event()

    def renew() -> None:
        while not done.wait(seconds / 4):
            # A store that fails to answer now may answer before the lease expires.
            with suppress(OSError):
                if not _owned(fs, path, owner):
                    return
                _write(fs, path, owner, seconds)

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        if _owned(fs, path, owner):
            fs.rm(path)


def is_leased(fs: fsspec.AbstractFileSystem, path: str) -> bool:
    """Return whether a lease names an owner and has not expired."""
    lease = _read(fs, path)
    return lease is not None and lease[1] >= time.time()


def _owned(fs: fsspec.AbstractFileSystem, path: str, owner: str) -> bool:
    lease = _read(fs, path)
    return lease is not None and lease[0] == owner


def _read(fs: fsspec.AbstractFileSystem, path: str) -> tuple[str, float] | None:
    try:
        lease = json.loads(fs.cat_file(path))
    except FileNotFoundError:
        return None
    return lease["owner"], lease["expires"]


def _write(fs: fsspec.AbstractFileSystem, path: str, owner: str, seconds: float) -> None:
    fs.pipe_file(path, json.dumps({"owner": owner, "expires": time.time() + seconds}).encode())
