"""Note which files of the repository a process opens, looks for and lists, by whatever route Python code takes.

Python announces every open and every listing to audit hooks; whether a path exists is asked of `os`, whose functions are wrapped. A file
that no longer is as the snapshot has it raises SourceEdited, since the record would describe other bytes than those read.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from tasks.stage.identity.tracing.mark_file import MarkFile
from tasks.stage.identity.tracing.source import Source

WRITING = os.O_WRONLY | os.O_RDWR
# These look for modules and lines of tracebacks; what they find out is no input of any code.
ASIDE = ("/linecache.py", "/tracing/importer.py", "/tracing/source.py")
DEEP = 12
ISOLATED = ("-I", "-S", "-E")


class SourceEdited(RuntimeError):
    """A file of the repository was edited after the run had opened."""


class WatchedFiles:
    """Hooks of one process."""

    def __init__(self, marks: MarkFile, source: Source) -> None:
        """Note in `marks` what is read of `source`."""
        self.marks, self.source = marks, source
        self._equal: set[str] = set()

    def install(self) -> None:
        """Begin; it can't be undone."""
        sys.addaudithook(self._audit)
        for name in ("stat", "lstat", "access"):
            _wrap(name, self._looked)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            self._opened(arguments[0], arguments[2])
        elif event in ("os.listdir", "os.scandir"):
            self._listed(arguments[0])
        elif event == "pickle.find_class":
            self.marks.log("named", *arguments[:2])
        elif event == "subprocess.Popen":
            self._started(arguments[0], arguments[1])

    def _opened(self, path: object, flags: object) -> None:
        relative = self._relative(path)
        if relative is None or (isinstance(flags, int) and flags & WRITING):
            return
        if _heard(sys._getframe(1)):
            self._read(relative)

    def _read(self, relative: str) -> None:
        content = self.source.text(relative)
        if content is None:
            self.marks.log("listing" if self.source.is_folder(relative) else "absent", relative or ".")
            return
        if relative not in self._equal:
            self._equal.add(relative)
            handle = os.open(self.source.root / relative, os.O_RDONLY)
            with os.fdopen(handle, "rb") as stream:
                if hashlib.sha256(stream.read()).digest() != hashlib.sha256(content).digest():
                    raise SourceEdited(f"{relative} was edited since this run began, and is read by it. Start the run again.")
        self.marks.log("file", relative)

    def _looked(self, path: object) -> None:
        relative = self._relative(path)
        if relative and _heard(sys._getframe(2)):
            self.marks.log("exists" if self.source.exists(relative) else "absent", relative)

    def _listed(self, path: object) -> None:
        relative = self._relative("." if path is None else path)
        if relative is not None and self.source.is_folder(relative) and _heard(sys._getframe(1)):
            self.marks.log("listing", relative or ".")

    def _started(self, executable: object, arguments: object) -> None:
        words = [os.fsdecode(word) for word in arguments] if isinstance(arguments, (list, tuple)) else [str(arguments)]
        program = os.path.basename(os.fsdecode(executable) if isinstance(executable, (str, bytes)) else words[0])  # noqa: PTH119
        if program.startswith("python") and not any(word in ISOLATED for word in words[1:3]):
            self.marks.log("started", os.getpid(), len(self.marks._seen), program)

    def _relative(self, path: object) -> str | None:
        if isinstance(path, int):
            return None
        try:
            text = os.fsdecode(path)  # type: ignore[arg-type]
        except TypeError:
            return None
        return self.source.relative(os.path.abspath(text))  # noqa: PTH100


def _heard(frame: FrameType | None) -> bool:
    """Return whether a file is asked for by code, and not by Python's own machinery; source that `inspect` reads counts."""
    aside = False
    for _ in range(DEEP):
        if frame is None or (name := frame.f_code.co_filename).startswith("<frozen"):
            return frame is None and not aside
        if name.endswith("/inspect.py"):
            return True
        aside = aside or name.endswith(ASIDE)
        frame = frame.f_back
    return not aside


def _wrap(name: str, looked: Callable[[object], None]) -> None:
    original = getattr(os, name)

    def asked(path: Any, *arguments: Any, **named: Any) -> Any:
        looked(path)
        return original(path, *arguments, **named)

    asked.__name__ = asked.__qualname__ = name
    asked.__doc__ = original.__doc__
    setattr(os, name, asked)
    for group in (os.supports_dir_fd, os.supports_effective_ids, os.supports_fd, os.supports_follow_symlinks):
        if original in group:
            group.add(asked)  # type: ignore[attr-defined]
