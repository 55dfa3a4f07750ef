"""Edits of tiny programs, as tables in `edits/`: what must make a stage run again, what must not, what does though nothing uses it, since
it ran when its module was imported (`conservative`), and what our code must not do.

After `#` stands what is edited, after `@` a file (`@+` one that is added, `@-` one that goes, `@ path -> target` a link), and before each
of its lines a blank, `-` or `+` as in any diff. The stage is `work` in data/near.py; `data` is a package whether a case says so or not.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

EDITS = Path(__file__).parent / "edits"


@dataclass
class Program:
    """Files with their text, and links with their targets, by path."""

    files: dict[str, str] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def write(self, root: Path, before: Program | None = None) -> None:
        """Write the program into `root`, in place of `before`; a file that differs keeps its time."""
        had: Mapping[str, str] = {**before.files, **before.links} if before else {}
        for name in had.keys() - self.files.keys() - self.links.keys():
            (root / name).unlink()
        for name, target in self.links.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).unlink(missing_ok=True)
            (root / name).symlink_to(target)
        for name, text in self.files.items():
            if had.get(name) != text:
                self._write(root / name, text)

    def _write(self, path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        times = path.stat() if path.exists() else None
        path.write_text(text, encoding="utf-8")
        if times is not None:
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@dataclass
class Case:
    """A program before and after an edit."""

    name: str
    table: str
    kind: str
    before: Program = field(default_factory=lambda: Program({"data/__init__.py": ""}))
    after: Program = field(default_factory=lambda: Program({"data/__init__.py": ""}))

    @property
    def must_rerun(self) -> bool:
        """Whether the edit changes what the stage does."""
        return self.kind not in ("same", "conservative")

    @property
    def id(self) -> str:
        """Table and name."""
        return f"{self.table}: {self.name}"


def read_table(path: Path) -> list[Case]:
    """The cases of one table."""
    found: list[Case] = []
    name = ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        mark, text = line[:1], line[2:]
        if mark == "#":
            found.append(Case(text, path.stem, path.parent.name))
        elif mark == "@":
            name = text.strip()
            sides = {"+": [found[-1].after], "-": [found[-1].before]}.get(line[1], [found[-1].before, found[-1].after])
            name, _, target = name.partition(" -> ")
            for program in sides:
                (program.links if target else program.files)[name] = target
        elif line:
            assert mark in " +-", f"{path.name}:{number}: {line!r}"
            for program in (found[-1].before,) * (mark != "+") + (found[-1].after,) * (mark != "-"):
                program.files[name] += f"{text}\n"
    return found


def read_all() -> list[Case]:
    """Every case of every table."""
    return [case for path in sorted(EDITS.glob("*/*.diff")) for case in read_table(path)]
