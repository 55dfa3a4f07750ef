"""Globs over paths: `*`, `?` and `[...]` inside a folder's or file's name, and `**` for any number of folders.

As in a shell, a star matches no hidden names, which begin with a period.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from fnmatch import translate
from pathlib import Path

from data.sources.walking import Entry, walk

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
