"""Record which files of the repository a process opens, looks for, lists and passes to other programs, by any Python API.

Python reports opens, listings and program starts to audit hooks; for existence checks the functions of `os` are wrapped.
A file that differs from the snapshot raises SourceEdited, since the record would describe other bytes than those read.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from tasks.stage.identity.tracing.mark_file import MarkFile
from tasks.stage.identity.tracing.source import LIBRARY, Source

TRACER = f"{LIBRARY}identity/tracing/"
# The caller of these is the one that asks.
NEUTRAL = re.compile(r"<frozen (os|genericpath|posixpath|codecs|io|runpy)>|/(pathlib(/\w+)?|zipfile)\.py$")
# These look for modules and distributions; their findings aren't inputs of any code.
MACHINERY = re.compile(rf"<frozen importlib|/(importlib/metadata|pkg_resources|setuptools|{TRACER[:-1]})/|/sysconfig\.py$")
# These read the lines of source for whoever asks them.
LINES = re.compile(r"/(linecache|tokenize|inspect|traceback)\.py$")
# These only ask whether a path exists.
ASKING = frozenset({"exists", "lexists", "isfile", "isdir", "islink", "ismount", "is_file", "is_dir", "is_symlink", "is_mount"})
RESOLVING = frozenset({"realpath", "_joinrealpath", "resolve"})
# These ask for source to show it in messages.
SHOWN = re.compile(r"/torch/(_dynamo|fx|_logging|utils)/")
PYTHON = re.compile(r"python[\d.]*")
STARTS = frozenset({"subprocess.Popen", "os.posix_spawn", "os.exec", "os.spawn"})
EVENTS = STARTS | {"open", "os.listdir", "os.scandir", "os.system", "pickle.find_class"}


class SourceEdited(RuntimeError):
    """A file of the repository was edited after the run had opened."""


class WatchedFiles:
    """Hooks of one process."""

    def __init__(self, marks: MarkFile, source: Source, leaving: Callable[[], None]) -> None:
        """Note in `marks` what is read of `source`; `leaving` is called before the process becomes another program."""
        self.marks, self.source, self._leaving = marks, source, leaving
        self._equal: set[str] = set()
        self._started = 0
        self._thread = threading.local()

    def install(self) -> None:
        """Begin; it can't be undone."""
        sys.addaudithook(self._audit)
        for name in ("stat", "lstat", "access", "open", "readlink"):
            self._wrap(name)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in EVENTS or getattr(self._thread, "busy", False):
            return
        self._thread.busy = True  # what is opened below is opened by the recorder
        try:
            self._hear(event, arguments)
        finally:
            self._thread.busy = False

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            if _reads(arguments[2]):
                self._opened(arguments[0])
        elif event in ("os.listdir", "os.scandir"):
            self._listed("." if arguments[0] is None else arguments[0])
        elif event == "pickle.find_class":
            self.marks.log("named", *arguments[:2])
        elif event in STARTS:
            if event == "os.exec":
                self._leaving()
            self._starts(event, arguments[0], arguments[1], arguments[2] if event == "subprocess.Popen" else None)
        elif event == "os.system":
            self._starts(event, "sh", [arguments[0]], None)

    def _opened(self, path: object) -> None:
        relative = self._relative(path)
        if relative is not None and self._heard(_caller()):
            self.read(relative)

    def _log(self, kind: str, relative: str) -> None:
        """Note what was learned about a path, and which definition of ours asked: if its result never counts, nor does this."""
        frame = _caller()
        while frame is not None:
            path = self.source.relative(frame.f_code.co_filename)
            if path is not None and not path.startswith(TRACER):
                self.marks.log(kind, relative, path, frame.f_code.co_qualname)
                return
            frame = frame.f_back
        self.marks.log(kind, relative)

    def read(self, relative: str) -> None:
        """Record that a file was read. Raises SourceEdited if it has changed since the run opened."""
        if not self.source.is_file(relative):
            self._log("listing" if self.source.is_folder(relative) else "absent", relative or ".")
            return
        if relative not in self._equal:
            self._equal.add(relative)
            try:
                handle = os.open(self.source.root / relative, os.O_RDONLY)
            except OSError:
                handle = -1  # whoever opens it hears of that
            if handle >= 0:
                with os.fdopen(handle, "rb") as stream:
                    digest = hashlib.file_digest(stream, "sha256").hexdigest()
                if not self.source.is_frozen(relative):
                    self.marks.log("unfrozen", relative, digest)
                elif digest != self.source.digest_of(relative):
                    raise SourceEdited(f"{relative} was edited since this run began, and is read by it. Start the run again.")
        self._log("file", relative)

    def _looked(self, path: object, folder: object) -> None:
        relative = self._relative(path, folder)
        caller = _caller()
        if relative and self._heard(caller):
            if _only_finds_its_way(caller) and self.source.exists(relative):
                return
            kind = "absent" if not self.source.exists(relative) else "exists" if _only_asks(caller) else "status"
            self._log(kind, relative)

    def _listed(self, path: object) -> None:
        relative = self._relative(path)
        if relative is not None and self._heard(_caller()):
            self._log("listing" if self.source.is_folder(relative) else "absent", relative or ".")

    def _starts(self, event: str, executable: object, arguments: object, folder: object) -> None:
        """Note the start of a program, and the files of the repository that its command names."""
        given = arguments if isinstance(arguments, (list, tuple)) else [arguments]
        words = [os.fsdecode(word) for word in given if isinstance(word, (str, bytes, os.PathLike))]
        here = self._absolute("." if folder is None else folder, None)
        parts = [part for word in words for part in (word, *_split(word), word.rpartition("=")[2])]
        named = [relative for part in dict.fromkeys(parts) if (relative := self.source.relative(os.path.normpath(f"{here}/{part}")))]
        named += [relative for part in parts if part.startswith("/") and (relative := self.source.relative(os.path.normpath(part)))]
        for relative in named:
            if self.source.is_file(relative):
                self.read(relative)
            elif self.source.is_folder(relative) and relative.partition("/")[2]:
                for inner in self.source.walk(relative):
                    self.read(inner)
        spoken = parts or [os.fsdecode(executable)]  # type: ignore[arg-type]
        at = next((number for number, part in enumerate(spoken) if PYTHON.fullmatch(part.rpartition("/")[2])), None)
        if at is not None:
            flags = "".join(
                word[1:] for word in spoken[at + 1 : at + 4] if word.startswith("-") and not word.startswith("--") and "m" not in word
            )
            ours = any(relative.endswith(".py") for relative in named)
            if not (set(flags) & set("ISE")) or (ours and "I" not in flags):
                self._started += 1
                kind = "wrapped" if at else "replaced" if event == "os.exec" else "started"
                self.marks.log(kind, os.getpid(), self._started, " ".join(words[:4]))

    def _relative(self, path: object, folder: object = None) -> str | None:
        absolute = self._absolute(path, folder)
        return None if absolute is None else self.source.relative(absolute)

    def _absolute(self, path: object, folder: object) -> str | None:
        if isinstance(path, int) and not isinstance(path, bool):
            return _opened_folder(path)
        try:
            text = os.fsdecode(path)  # type: ignore[arg-type]
        except TypeError:
            return None
        if isinstance(folder, int) and not os.path.isabs(text):  # noqa: PTH117
            text = f"{_opened_folder(folder)}/{text}"
        return os.path.abspath(text)  # noqa: PTH100

    def _heard(self, frame: FrameType | None) -> bool:
        """Return whether a file is asked for by code, and not by Python's machinery or for a library's account of a stack."""
        while frame is not None and NEUTRAL.search(frame.f_code.co_filename):
            frame = frame.f_back
        if frame is None or not LINES.search(frame.f_code.co_filename):
            return frame is None or not (MACHINERY.search(frame.f_code.co_filename) or self._is_execution(frame))
        source = False
        while frame is not None and LINES.search(frame.f_code.co_filename):
            source |= frame.f_code.co_name in ("getsource", "getsourcelines")
            frame = frame.f_back
        if source:
            return frame is None or not SHOWN.search(frame.f_code.co_filename)
        ours = frame is not None and self.source.relative(frame.f_code.co_filename) is not None
        return ours and frame is not None and not self._is_execution(frame)

    def _is_execution(self, frame: FrameType) -> bool:
        relative = self.source.relative(frame.f_code.co_filename)
        return relative is not None and self.source.project.is_execution(relative, frame.f_code.co_qualname)

    def _wrap(self, name: str) -> None:
        original = getattr(os, name)

        def asked(path: Any, *arguments: Any, dir_fd: int | None = None, **named: Any) -> Any:
            self._asked(name, path, arguments, dir_fd)
            return original(path, *arguments, **named) if dir_fd is None else original(path, *arguments, dir_fd=dir_fd, **named)

        asked.__name__ = asked.__qualname__ = name
        asked.__doc__ = original.__doc__
        setattr(os, name, asked)
        for group in (os.supports_dir_fd, os.supports_effective_ids, os.supports_fd, os.supports_follow_symlinks):
            if original in group:
                group.add(asked)

    def _asked(self, name: str, path: object, arguments: tuple[Any, ...], folder: int | None) -> None:
        if getattr(self._thread, "busy", False):
            return
        self._thread.busy = True
        try:
            if name == "readlink":
                relative = self._relative(path, folder)
                if relative and self._heard(_caller()):
                    self._log("link", relative)
            elif name != "open":
                self._looked(path, folder)
            elif folder is not None and _reads(arguments[0] if arguments else 0):
                relative = self._relative(path, folder)
                if relative is not None:
                    self.read(relative)
        finally:
            self._thread.busy = False


def _reads(flags: object) -> bool:
    """Return whether a file that is opened so may be read as it was."""
    return not (isinstance(flags, int) and (flags & os.O_ACCMODE == os.O_WRONLY or flags & os.O_TRUNC))


def _caller() -> FrameType | None:
    """Return the frame that does what is heard of; None at the start of a program, and what the recorder does has none either."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return frame


def _only_asks(frame: FrameType | None) -> bool:
    """Return whether a path's status is read only to see whether it exists."""
    names = [one.f_code.co_name for one in (frame, frame and frame.f_back) if one]
    return not ASKING.isdisjoint(names)


def _only_finds_its_way(frame: FrameType | None) -> bool:
    """Return whether a path is looked at only to follow links on the way."""
    names = [one.f_code.co_name for one in (frame, frame and frame.f_back) if one]
    return not RESOLVING.isdisjoint(names)


def _opened_folder(descriptor: int) -> str | None:
    try:
        return str(Path(f"/proc/self/fd/{descriptor}").readlink())
    except OSError:
        return None


def _split(command: str) -> list[str]:
    try:
        return shlex.split(command) if " " in command else []
    except ValueError:
        return command.split()
