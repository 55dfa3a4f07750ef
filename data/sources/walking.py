"""Walks a folder and yields every entry below it, once.

Links are followed. A folder that can be reached by several names is walked once: under its own name if that lies below the walked folder,
else under the first link to it in order of name; every other link to it is an entry with a fault. So a link to a folder above it ends
there. What is neither a file nor a folder, a link that leads nowhere and a folder that can't be listed are entries with a fault.

Costs one listing and one look at each folder, and one look at each link. Nothing is recursive, so a tree of any depth is walked.

Globs over paths: `*`, `?` and `[...]` inside a folder's or file's name, and `**` for any number of folders.

As in a shell, a star matches no hidden names, which begin with a period.
"""

from __future__ import annotations

import errno
import glob
import os
import re
import stat
from collections.abc import Iterator
from fnmatch import translate
from pathlib import Path
from typing import NamedTuple

# Keep paths as strings, which is three times as fast.
# ruff: noqa: PTH116


SPECIAL = {stat.S_IFSOCK: "a socket", stat.S_IFIFO: "a pipe", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}

LINKED = "linked folder: it is read under its other name"


class Entry(NamedTuple):
    """The entry at `path`. `fault`: why it can't be read, "" for a file or a folder; `walked`: a folder whose entries are yielded too."""

    path: str
    fault: str = ""
    hidden: bool = False
    folder: bool = False
    walked: bool = False


def walk(folder: str, depth: int | None = None, *, hidden: bool = False) -> Iterator[Entry]:
    """Yield the entries below a folder, at most `depth` levels down (None: all). `hidden`: walk hidden folders too."""
    seen: set[tuple[int, int]] = set()
    waiting, links = [(folder, 1)], list[tuple[str, int]]()
    while waiting or links:
        # Folders before links, so each is walked under its own name.
        linked = not waiting
        path, level = links.pop(0) if linked else waiting.pop()
        try:
            status = os.stat(path)
            if (status.st_dev, status.st_ino) in seen:
                yield Entry(path, LINKED, folder=True)
                continue
            seen.add((status.st_dev, status.st_ino))
            if linked:
                yield Entry(path, folder=True, walked=True)
            with os.scandir(path) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as error:
            yield Entry(path, f"unreadable folder: {error.strerror}", folder=True)
            continue
        below: list[tuple[str, int]] = []
        for entry in entries:
            found = _entry(entry)
            walked = found.folder and not found.fault and (hidden or not found.hidden) and (depth is None or level < depth)
            if walked and entry.is_symlink():
                links.append((found.path, level + 1))
            elif walked:
                below.append((found.path, level + 1))
                yield found._replace(walked=True)
            else:
                yield found
        waiting.extend(reversed(below))
        links.sort()


def fault_of(path: str) -> str:
    """Return why a path that exists can't be read as a file, "" for a file or a folder."""
    mode = os.stat(path).st_mode
    return "" if stat.S_ISREG(mode) or stat.S_ISDIR(mode) else f"not a file: {SPECIAL.get(stat.S_IFMT(mode), 'of no known type')}"


def _entry(entry: os.DirEntry[str]) -> Entry:
    hidden = entry.name.startswith(".")
    try:
        if entry.is_file():
            return Entry(entry.path, hidden=hidden)
        if entry.is_dir():
            return Entry(entry.path, hidden=hidden, folder=True)
        return Entry(entry.path, fault_of(entry.path), hidden)
    except FileNotFoundError:
        return Entry(entry.path, "dangling link: it leads to nothing", hidden)
    except OSError as error:
        loop = error.errno == errno.ELOOP
        return Entry(entry.path, "dangling link: it leads to itself" if loop else f"unreadable: {error.strerror}", hidden)


ANY_FOLDERS = "**"


class Glob:
    """An absolute pattern. Its fixed part is the folder that is walked."""

    def __init__(self, pattern: str) -> None:
        path = Path(pattern)
        self._folder = self.fixed_part(path)
        self._steps = path.parts[len(self._folder.parts) :]
        self._names = [None if step == ANY_FOLDERS else re.compile(translate(step)) for step in self._steps]

    @staticmethod
    def is_one(pattern: str) -> bool:
        """Return whether a path is a pattern."""
        return glob.has_magic(pattern)

    @staticmethod
    def fixed_part(pattern: Path) -> Path:
        """Return the longest part without a pattern."""
        while glob.has_magic(str(pattern)):
            pattern = pattern.parent
        return pattern

    def walk(self) -> Iterator[Entry]:
        """Yield every entry where the pattern looks; none if its folder is missing."""
        if self._folder.is_dir():
            depth = None if ANY_FOLDERS in self._steps else len(self._steps)
            yield from walk(str(self._folder), depth, hidden=any(step.startswith(".") for step in self._steps))

    def matches(self, path: str) -> bool:
        """Return whether a path that `walk` yields fits the whole pattern."""
        return self._fits(path[len(str(self._folder)) :].strip("/").split("/"), 0, 0)

    def _fits(self, parts: list[str], part: int, step: int) -> bool:
        while step < len(self._names):
            name = self._names[step]
            if name is None:
                # Any number of visible folders, and at the pattern's end any file.
                if step + 1 == len(self._names):
                    return part < len(parts) and not any(one.startswith(".") for one in parts[part:])
                while part < len(parts):
                    if self._fits(parts, part, step + 1):
                        return True
                    if parts[part].startswith("."):
                        return False
                    part += 1
                return False
            if part == len(parts) or (parts[part].startswith(".") and not self._steps[step].startswith(".")) or not name.match(parts[part]):
                return False
            part, step = part + 1, step + 1
        return part == len(parts)
