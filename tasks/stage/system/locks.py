"""Locks between processes of one machine, by `flock`, and what a lock promises; `leases` has those between machines.

The kernel drops a `flock` when its owner dies, however it dies, and only then: a process that is suspended (SIGSTOP, Ctrl-Z, a debugger)
keeps its lock, and others wait for it. On a network disk a `flock` is worth what the file server makes of it: NFS (4, or 3 with lockd) and
SMB hand it to one machine at a time, and to another once they have given up on the first; some mounts lock within each machine only.
Nothing here notices that, so a commit relies on no lock: whoever writes a record second finds the first one.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psutil


class LeaseLost(RuntimeError):
    """A lock that this process had taken is not its own any more."""


class Lock(ABC):
    """A lock that was taken. `token` names this taking of it; a lock that is lost is never held again under the same token."""

    def __init__(self, token: str) -> None:
        self.token = token

    @abstractmethod
    def held(self) -> bool:
        """Return whether it is held still. Raises OSError if its store can't be asked."""

    def lost(self) -> bool:
        """Return whether this process knows that it is lost; asks nobody, so it may be lost already when this is still False."""
        return False

    def seems_held(self) -> bool:
        """Return `held`, or what this process knows by itself if the store can't be asked."""
        try:
            return self.held()
        except OSError:
            return not self.lost()

    def require(self, what: str) -> None:
        """Raise LeaseLost naming `what` if it is not held any more."""
        if not self.held():
            raise LeaseLost(
                f"{what}: this process was suspended, or did not reach the store, for longer than its lock lasts, so the lock went to "
                "whoever asked next. What it was making is not committed; run the same command again to use or to finish it."
            )


class FileLock(Lock):
    """A `flock` on an open file. It is lost only if somebody deletes the file."""

    def __init__(self, path: Path, descriptor: int) -> None:
        super().__init__(uuid.uuid4().hex)
        self._path, self._descriptor = path, descriptor

    def held(self) -> bool:
        """Return whether the path still names the locked file."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), self._path.stat())
        except FileNotFoundError:
            return False


def local_lock(path: Path, on_wait: Callable[[], None]) -> AbstractContextManager[FileLock]:
    """Hold an exclusive lock on a file, waiting while another process holds it; `on_wait` is called once before waiting."""
    return _flock(path, fcntl.LOCK_EX, on_wait)


def shared_lock(path: Path, on_wait: Callable[[], None]) -> AbstractContextManager[FileLock]:
    """Hold a shared lock, waiting while a process holds it exclusively (`try_lock`)."""
    return _flock(path, fcntl.LOCK_SH, on_wait)


def try_lock(path: Path) -> AbstractContextManager[FileLock]:
    """Hold an exclusive lock. Raises BlockingIOError at once if another process holds it."""
    return _flock(path, fcntl.LOCK_EX, None)


@contextmanager
def signed_lock(path: Path, on_wait: Callable[[str], None]) -> Iterator[FileLock]:
    """Hold an exclusive lock on a file that says who holds it; `on_wait` is told before waiting."""
    with local_lock(path, lambda: on_wait(_signature(path))) as lock:
        path.write_text(json.dumps({"token": lock.token, **holder()}), encoding="utf-8")
        yield lock


@contextmanager
def _flock(path: Path, kind: int, on_wait: Callable[[], None] | None) -> Iterator[FileLock]:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as handle:
            try:
                fcntl.flock(handle, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                if on_wait is None:
                    raise
                on_wait()
                fcntl.flock(handle, kind)
            lock = FileLock(path, handle.fileno())
            # Whoever had it may have deleted the file meanwhile; then others lock a new one.
            if lock.held():
                yield lock
                return


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


def holder() -> dict[str, str | int]:
    """Describe this process, for others that wait for it."""
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": datetime.now(UTC).isoformat(timespec="seconds")}


def describe_holder(found: dict[str, object]) -> str:
    """Say in words which process holds a lock, and what to do if that one is suspended."""
    pid, host = found.get("pid"), found.get("host")
    if not isinstance(pid, int) or not isinstance(host, str):
        return "a process that doesn't say which"
    named = f"process {pid} on {host}, since {str(found.get('since', ''))[:19]} UTC"
    try:
        stopped = host == socket.gethostname() and psutil.Process(pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
    except psutil.Error:
        stopped = False
    return f"{named}; it is suspended: `kill -CONT {pid}` lets it go on, `kill -KILL {pid}` ends it" if stopped else named


def _signature(path: Path) -> str:
    try:
        return describe_holder(json.loads(path.read_bytes()))
    except (OSError, ValueError):
        return describe_holder({})
