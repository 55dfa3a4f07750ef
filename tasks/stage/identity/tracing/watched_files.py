"""Note which files of the repository a process opens, looks for and lists, by whatever route Python code takes.

Python announces every open and every listing to audit hooks; whether a path exists is asked of `os`, whose functions are wrapped. A file
that no longer is as the snapshot has it raises SourceEdited, since the record would describe other bytes than those read.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

from tasks.stage.identity.tracing.mark_file import MarkFile
from tasks.stage.identity.tracing.source import Source

WRITING = os.O_WRONLY | os.O_RDWR
# Who asks for them is who calls these.
NEUTRAL = re.compile(r"<frozen (os|genericpath|posixpath|codecs|io|runpy)>|/pathlib(/\w+)?\.py$")
# These look for modules, distributions and the lines of a stack; what they find out is no input of any code.
MACHINERY = re.compile(
    r"<frozen|/tasks/stage/identity/tracing/|/importlib/metadata/|/(pkg_resources|setuptools)/|/(inspect|traceback)\.py$"
)
SHOWING = ("/linecache.py", "/tokenize.py", "/inspect.py", "/traceback.py")
READING = frozenset({"getsource", "getsourcelines"})
# These ask whether a path exists and leave its status aside.
ASKING = frozenset({"exists", "lexists", "isfile", "isdir", "islink", "is_file", "is_dir", "is_symlink", "ismount", "is_mount"})


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
        _wrap("open", self._opened_in_folder)

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            self._opened(arguments[0], arguments[2])
        elif event in ("os.listdir", "os.scandir"):
            self._listed(arguments[0])
        elif event == "pickle.find_class":
            self.marks.log("named", *arguments[:2])
        elif event == "subprocess.Popen":
            self._started(*arguments)
        elif event in ("os.exec", "os.posix_spawn"):
            self._started(arguments[0], arguments[1], None, arguments[2], counted=event == "os.posix_spawn")
        elif event == "os.system":
            self._started(b"sh", arguments[0], None, None)

    def _opened_in_folder(self, path: object, named: dict[str, Any]) -> None:
        """Note what is opened from the number of a folder, of which audit hooks are not told."""
        folder = named.get("dir_fd")
        if isinstance(folder, int):
            self._opened(_inside(folder, path), 0)

    def _opened(self, path: object, flags: object) -> None:
        relative = self._relative(path)
        if relative is None or (isinstance(flags, int) and flags & WRITING):
            return
        if _heard(sys._getframe(1), self.source):
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

    def _looked(self, path: object, named: dict[str, Any]) -> None:
        folder = named.get("dir_fd")
        relative = self._relative(path if not isinstance(folder, int) else _inside(folder, path))
        frame = sys._getframe(2)
        if relative and _heard(frame, self.source):
            there = self.source.exists(relative)
            self.marks.log("exists" if there else "absent", relative)
            if there and not _only_asks(frame):
                self._read(relative)

    def _listed(self, path: object) -> None:
        relative = self._relative("." if path is None else path)
        if relative is not None and _heard(sys._getframe(1), self.source):
            self.marks.log("listing" if self.source.is_folder(relative) else "absent", relative or ".")

    def _started(self, executable: object, arguments: object, folder: object, environment: object, *, counted: bool = True) -> None:
        """Note a process, and the files of ours that it is given by name; those it opens it must mark itself."""
        words = _words(arguments)
        for word in words:
            relative = self._relative(os.path.join(os.fsdecode(folder or "."), word))  # type: ignore[arg-type]  # noqa: PTH118
            if relative and self.source.is_file(relative):
                self._read(relative)
        program = os.path.basename(os.fsdecode(executable) if isinstance(executable, (str, bytes)) else words[0])  # noqa: PTH119
        # An isolated Python finds no module of ours, and what it is given by name is noted.
        if program.startswith("python") and "-I" not in words[1:3]:
            told = environment is None or any(os.fsdecode(name) == "FOLIO_MARKS" for name in environment)  # type: ignore[attr-defined]
            if counted or not told:
                self.marks.log("started", os.getpid(), len(self.marks._seen), program)

    def _relative(self, path: object) -> str | None:
        if isinstance(path, int):
            return None
        try:
            text = os.fsdecode(path)  # type: ignore[arg-type]
        except TypeError:
            return None
        return self.source.relative(os.path.abspath(text))  # noqa: PTH100


def _heard(frame: FrameType | None, source: Source) -> bool:
    """Return whether a file is asked for by code, and not by Python's own machinery."""
    while frame is not None and (frame.f_code.co_filename == __file__ or NEUTRAL.search(frame.f_code.co_filename)):
        frame = frame.f_back
    if frame is None:
        return True
    if frame.f_code.co_filename.endswith(SHOWING[:2]):
        return _shown(frame, source)
    return not MACHINERY.search(frame.f_code.co_filename)


def _shown(frame: FrameType | None, source: Source) -> bool:
    """Return whether lines of source are asked for by code of ours, or as source, and not for a library's account of a stack."""
    while frame is not None and frame.f_code.co_filename.endswith(SHOWING):
        if frame.f_code.co_name in READING:
            return True
        frame = frame.f_back
    return frame is not None and source.relative(frame.f_code.co_filename) is not None


def _only_asks(frame: FrameType | None) -> bool:
    names: list[str] = []
    while frame is not None and len(names) < 2:
        names.append(frame.f_code.co_name)
        frame = frame.f_back
    return not ASKING.isdisjoint(names)


def _inside(folder: int, path: object) -> object:
    """Return the path of what lies in a folder that is open."""
    try:
        return os.path.join(os.readlink(f"/proc/self/fd/{folder}"), os.fsdecode(path))  # type: ignore[arg-type]  # noqa: PTH115, PTH118
    except (OSError, TypeError):
        return path


def _words(arguments: object) -> list[str]:
    """Return a command as words, also those of a shell's."""
    given: Sequence[Any] = arguments if isinstance(arguments, (list, tuple)) else [arguments]
    return [word for one in given for word in _split(os.fsdecode(one))]


def _split(text: str) -> list[str]:
    try:
        return [text, *shlex.split(text)] if " " in text else [text]
    except ValueError:
        return [text]


def _wrap(name: str, looked: Callable[[object, dict[str, Any]], None]) -> None:
    original = getattr(os, name)

    def asked(path: Any, *arguments: Any, **named: Any) -> Any:
        looked(path, named)
        return original(path, *arguments, **named)

    asked.__name__ = asked.__qualname__ = name
    asked.__doc__ = original.__doc__
    setattr(os, name, asked)
    for group in (os.supports_dir_fd, os.supports_effective_ids, os.supports_fd, os.supports_follow_symlinks):
        if original in group:
            group.add(asked)
