"""The file in which a process marks what it does: one byte a definition, mapped into memory, and a log of everything rarer.

Both survive any kill, since a write reaches the kernel at once. A forked child opens files of its own. This module imports nothing but the
standard library, since it runs before any other module of the repository is imported.
"""

from __future__ import annotations

import errno
import mmap
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

CAPACITY = 1 << 17  # definitions in one process, a byte each
VERSION = 4
# As they were before any program could put something else in their place.
WRITE, OPEN = os.write, os.open
ESCAPES = str.maketrans({code: f"\\u{code:04x}" for code in (*range(32), 34, 92, 127, *range(0xD800, 0xE000))})


class MarkFile:
    """The marks of this process. `log` writes each different line once."""

    def __init__(self, folder: Path, snapshot: str, root: Path) -> None:
        """Open new files in `folder` and shake hands."""
        self.folder, self.snapshot, self.root = folder, snapshot, root
        self._modules: list[tuple[list[object], Callable[[memoryview], None]]] = []
        self._used = 0
        self._seen: set[str] = set()
        self._lock = threading.RLock()  # a signal's handler may import, and mark, while this thread marks
        self._open()
        os.register_at_fork(after_in_child=self._forked)

    def _open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        flags = OPEN(self.folder / f"{name}.flags", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        if hasattr(os, "posix_fallocate"):  # a page that a full disk has no room for would end the process by a signal
            os.posix_fallocate(flags, 0, CAPACITY)
        else:
            os.ftruncate(flags, CAPACITY)
        self.flags = memoryview(mmap.mmap(flags, CAPACITY))
        os.close(flags)
        self._path, self._lost = self.folder / f"{name}.log", False
        self._log = OPEN(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        python = ".".join(map(str, sys.version_info[:3]))
        self.log("start", VERSION, os.getpid(), os.getppid(), time.time_ns(), self.snapshot, python, str(self.root))
        if rank := os.environ.get("RANK") or os.environ.get("SLURM_PROCID"):
            self.log("rank", rank)

    def _forked(self) -> None:
        """Continue in new files of this process; write again what it had loaded."""
        self._lock, self._seen = threading.RLock(), set()
        self._open()
        for module, renew in self._modules:
            renew(self._region(module))

    def log(self, kind: str, *values: object) -> None:
        """Write one line, unless this process has written it before.

        Raises OSError if it can't be written whole; the log is then deleted, so that the process is missed even if what it runs goes on.
        What comes after that is not written, so that the error can be described by marked code.
        """
        line = _json([kind, *values])
        if self._lost or line in self._seen:
            return
        content = f"{line}\n".encode()
        try:
            # One write is one whole line, whatever other threads and signal handlers write beside it.
            if WRITE(self._log, content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        except OSError:
            self._path.unlink(missing_ok=True)
            self._lost = True
            raise
        # Noted last: what a signal interrupts before is written again.
        self._seen.add(line)

    def module(self, name: str, path: str, qualnames: list[str], renew: Callable[[memoryview], None]) -> None:
        """Give `renew` the bytes in which a module's definitions mark themselves, now and after a fork."""
        known: list[object] = [name, path, qualnames]
        with self._lock:
            first, self._used = self._used, self._used + len(qualnames)
        if self._used > CAPACITY:
            raise RuntimeError(f"{path}: more than {CAPACITY} definitions in one process; raise CAPACITY in {__name__}")
        known.append(first)
        self._modules.append((known, renew))
        renew(self._region(known))

    def _region(self, module: list[object]) -> memoryview:
        name, path, qualnames, first = module
        self.log("module", name, path, qualnames, first)
        assert isinstance(first, int) and isinstance(qualnames, list)
        return self.flags[first : first + len(qualnames)]


def _json(value: object) -> str:
    """Return strings, whole numbers and lists as JSON; by no module that a program could change."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join([_json(one) for one in value])}]"
    return str(value) if isinstance(value, int) else f'"{str(value).translate(ESCAPES)}"'
