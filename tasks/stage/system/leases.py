"""Leases: locks on an object store, which runs out of time instead of noticing that an owner has died.

A lease is a folder of numbered files. The newest number names the owner and when its lease expires; the owner renews its own file while it
lives. Whoever finds it expired creates the next number, which only one can (`exclusive_files`), so a number is a fencing token: it grows
with every owner, and an older owner's file counts for nothing, whenever it is written. An owner whose time has run out has lost its lease
for good, even if nobody has taken it: it must ask for a new one. Clocks must agree to well within `LEASE_SECONDS`.

A run's own lease is one file, since nobody else ever asks for it (`keep_alive`).
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import fsspec

from tasks.stage.system.exclusive_files import create_file, put_file, read_file
from tasks.stage.system.locks import Lock, describe_holder, holder

LEASE_SECONDS = 60.0
SETTING = "FOLIO_LEASE_SECONDS"
POLL_SECONDS = 0.2


def lease_seconds() -> float:
    """Return how long a lease lasts without being renewed: LEASE_SECONDS, or what the environment says. Raises ValueError."""
    text = os.environ.get(SETTING, "")
    if not text:
        return LEASE_SECONDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ValueError(f"{SETTING}={text!r} is not a number of seconds above 0, such as {LEASE_SECONDS:g}.")
    return seconds


class Lease(Lock):
    """A lease in the file `file`; `folder`: where later owners would put theirs, if there can be any."""

    def __init__(self, fs: fsspec.AbstractFileSystem, file: str, token: str, seconds: float, folder: str = "") -> None:
        super().__init__(token)
        self.file = file
        self._fs, self._folder, self._seconds = fs, folder, seconds
        self._signature = holder()
        self._lost = False
        self.deadline = 0.0

    def content(self) -> bytes:
        """Return the file's content from now on, and reckon with it."""
        self.deadline = time.time() + self._seconds
        return self._worded(self.deadline)

    def held(self) -> bool:
        """Return whether its time has not run out and nobody has followed. Raises OSError if the store can't be asked."""
        if self.lost():
            return False
        if self._folder:
            newest = _newest(self._fs, self._folder)
            mine = newest is not None and newest[1].get("owner") == self.token
        else:
            mine = (_read(self._fs, self.file) or {}).get("owner") == self.token
        # Asking takes time as well, above all if this process was suspended meanwhile.
        self._lost = self._lost or not mine
        return not self.lost()

    def lost(self) -> bool:
        """Return whether its time has run out."""
        self._lost = self._lost or time.time() >= self.deadline
        return self._lost

    def renew(self) -> None:
        """Extend it, unless it is lost. Raises OSError if the store can't be reached."""
        if not self.held():
            return
        expires = time.time() + self._seconds
        put_file(self._fs, self.file, self._worded(expires))
        # What was written after the time had run out extends nothing: somebody may have looked in between.
        if not self.lost():
            self.deadline = expires

    def release(self) -> None:
        """Let others have it at once. A folder keeps the number, so that the next one is higher."""
        if not self.held():
            return
        self._lost = True
        if self._folder:
            put_file(self._fs, self.file, self._worded(0.0))
        else:
            self._fs.rm_file(self.file)

    @contextmanager
    def renewed(self) -> Iterator[Lease]:
        """Renew it until the block ends, then release it."""
        done = threading.Event()

        def work() -> None:
            while not done.wait(self._seconds / 4) and not self._lost:
                # A store that fails to answer now may answer before the lease expires.
                with suppress(OSError):
                    self.renew()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            done.set()
            thread.join()
            # What can't be released expires.
            with suppress(OSError):
                self.release()

    def _worded(self, expires: float) -> bytes:
        return json.dumps({"owner": self.token, "expires": expires, **self._signature}).encode()


@contextmanager
def lease_lock(
    fs: fsspec.AbstractFileSystem, folder: str, on_wait: Callable[[str], None], seconds: float = LEASE_SECONDS
) -> Iterator[Lease]:
    """Hold the lease of a folder, renewing it until the block ends; `on_wait` is told once who holds it, before waiting."""
    with _taken(fs, folder, on_wait, seconds).renewed() as lease:
        yield lease


@contextmanager
def keep_alive(fs: fsspec.AbstractFileSystem, file: str, seconds: float = LEASE_SECONDS) -> Iterator[Lease]:
    """Show in a file that this process lives, until the block ends."""
    lease = Lease(fs, file, uuid.uuid4().hex, seconds)
    put_file(fs, file, lease.content())
    with lease.renewed():
        yield lease


def is_leased(fs: fsspec.AbstractFileSystem, path: str) -> bool:
    """Return whether a lease, a file or a folder of numbers, names an owner and has not expired."""
    newest = _newest(fs, path)
    lease = newest[1] if newest is not None else _read(fs, path)
    return lease is not None and not _expired(lease)


def _taken(fs: fsspec.AbstractFileSystem, folder: str, on_wait: Callable[[str], None], seconds: float) -> Lease:
    waited = False
    while True:
        number, found = _newest(fs, folder) or (0, None)
        if found is None or _expired(found):
            lease = Lease(fs, _file(folder, number + 1), uuid.uuid4().hex, seconds, folder)
            if create_file(fs, lease.file, lease.content()):
                # A store without conditional writes lets the last writer win: wait until all have written, then see who that was.
                time.sleep(min(POLL_SECONDS, seconds / 4))
                if lease.held():
                    for older in (n for n in _numbers(fs, folder) if n <= number):
                        with suppress(FileNotFoundError):
                            fs.rm_file(_file(folder, older))
                    return lease
        elif not waited:
            waited = True
            on_wait(describe_holder(found))
        time.sleep(POLL_SECONDS)


def _file(folder: str, number: int) -> str:
    return f"{folder}/{number}.json"


def _numbers(fs: fsspec.AbstractFileSystem, folder: str) -> list[int]:
    fs.invalidate_cache()
    try:
        names = [str(path).rsplit("/", 1)[-1] for path in fs.ls(folder, detail=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(int(name.removesuffix(".json")) for name in names if name.removesuffix(".json").isdigit())


def _newest(fs: fsspec.AbstractFileSystem, folder: str) -> tuple[int, dict[str, Any]] | None:
    """Return the newest number that can be read, and its lease."""
    for number in reversed(_numbers(fs, folder)):
        if (lease := _read(fs, _file(folder, number))) is not None:
            return number, lease
    return None


def _read(fs: fsspec.AbstractFileSystem, path: str) -> dict[str, Any] | None:
    try:
        content = read_file(fs, path)
    except IsADirectoryError:
        return None
    return json.loads(content) if content is not None else None


def _expired(lease: dict[str, Any]) -> bool:
    return float(lease["expires"]) <= time.time()
