"""A case: a tiny program, and one edit of it. Nothing says whether the edit matters: the program is run before and after it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

Intent = Literal["", "quiet", "effectless"]
QUIET: Final = "quiet"
"""Gives the same, and an engineer expects no rerun: words, layout, code that nothing of the program mentions."""
EFFECTLESS: Final = "effectless"
"""Gives the same although something that counts changed: either verdict is right."""

ROOMS = ("flows/", "tasks/", "model/", "data/")
Files = dict[str, str | bytes]


@dataclass(frozen=True)
class Edit:
    """Text of one file replaced; `old` None: the file is added; `new` None: it is removed; `to`: it is renamed."""

    name: str
    path: str
    old: str | bytes | None = None
    new: str | bytes | None = None
    intent: Intent = ""
    to: str = ""

    def apply(self, files: Files) -> Files:
        """What the program's files are after the edit."""
        after, path = dict(files), place(self.path)
        if self.to:
            after[place(self.to)] = after.pop(path)
        elif self.old is None:
            assert path not in files and self.new is not None, f"{self.name}: {path} is there already"
            after[path] = self.new
        elif self.new is None:
            del after[path]
        else:
            text = files[path]
            if isinstance(text, bytes):
                assert isinstance(self.old, bytes) and isinstance(self.new, bytes) and text.count(self.old) == 1, self.name
                after[path] = text.replace(self.old, self.new)
            else:
                assert isinstance(self.old, str) and isinstance(self.new, str)
                assert text.count(self.old) == 1, f"{self.name}: {self.old!r} stands {text.count(self.old)} times in {path}"
                after[path] = text.replace(self.old, self.new)
        return after


@dataclass(frozen=True, eq=False)
class Case:
    """A program before and after its edit; `work` in data/near.py is what a stage does."""

    theme: str
    name: str
    before: Files
    after: Files
    intent: Intent

    @property
    def id(self) -> str:
        """Theme and name."""
        return f"{self.theme}: {self.name}"


@dataclass(frozen=True)
class Program:
    """A program and edits of it, each made to the program as it stands here."""

    text: str
    edits: tuple[Edit, ...]
    binary: Files | None = None

    def cases(self, theme: str) -> list[Case]:
        """A case for each edit; they share the program before it, which then runs once."""
        before = parse(self.text) | {place(path): content for path, content in (self.binary or {}).items()}
        return [Case(theme, edit.name, before, edit.apply(before), edit.intent) for edit in self.edits]


def program(text: str, *edits: Edit, binary: Files | None = None) -> Program:
    """A program: near.py, then other files, each after a line `--- path`; paths start in data/ or in another room."""
    return Program(text, edits, binary)


def edit(name: str, path: str, old: str | bytes, new: str | bytes, intent: Intent = "") -> Edit:
    """Replace what stands once in a file."""
    return Edit(name, path, old, new, intent)


def add(name: str, path: str, text: str | bytes, intent: Intent = "") -> Edit:
    """Add a file."""
    return Edit(name, path, None, text, intent)


def remove(name: str, path: str, intent: Intent = "") -> Edit:
    """Remove a file."""
    return Edit(name, path, "", None, intent)


def rename(name: str, path: str, to: str, intent: Intent = "") -> Edit:
    """Rename a file."""
    return Edit(name, path, to=to, intent=intent)


def place(path: str) -> str:
    """Where a file lies: /name is in the root, a room's file in its room, others in data."""
    return path if path.startswith(ROOMS) else path[1:] if path.startswith("/") else f"data/{path}"


def parse(text: str) -> Files:
    """Files of a program from its text."""
    found: dict[str, str] = {"data/__init__.py": ""}
    path = "data/near.py"
    for line in text.lstrip("\n").splitlines(keepends=True):
        if line.startswith("--- "):
            path = place(line[4:].strip())
            found[path] = ""
        else:
            found[path] = found.get(path, "") + line
    return dict(found)


def write(files: Files, root: Path, instead_of: Files | None = None) -> None:
    """Make a folder hold these files; `instead_of`: those that it holds so far."""
    for path in (instead_of or {}).keys() - files.keys():
        (root / path).unlink(missing_ok=True)
        if (root / path).parent.is_dir() and not any((root / path).parent.iterdir()):
            (root / path).parent.rmdir()
    for path, content in files.items():
        if instead_of is None or instead_of.get(path) != content:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content if isinstance(content, bytes) else content.encode())
