"""The trace of an execution: what it read, as name -> hash; and how two traces differ, in sentences.

It is computed from the execution's marks and a source, so the same marks can be looked up in today's source and compared.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable
from pathlib import Path
from threading import Lock
from typing import Literal

from pydantic import BaseModel

from tasks.stage.identity.tracing.code.closure import GONE
from tasks.stage.identity.tracing.code.counted import counted_code
from tasks.stage.identity.tracing.code.normal import data_hash
from tasks.stage.identity.tracing.libraries import installed
from tasks.stage.identity.tracing.marks import Marks
from tasks.stage.identity.tracing.source import Source

# The most telling kinds of entries first.
KINDS = (
    "rules",
    "ran",
    "statement",
    "file",
    "mentioned",
    "choice",
    "kinds",
    "import",
    "module",
    "exists",
    "size",
    "link",
    "listing",
    "library",
    "python",
    "order",
)
How = Literal["changed", "added", "gone"]
WHAT: dict[How, str] = {"changed": "which changed", "added": "which was added", "gone": "which is gone"}
__all__ = ["Change", "Trace", "changes", "differences", "trace_of"]

RULES = "4"  # of what counts and how it is hashed; with others an old trace can't be compared


class Change(BaseModel, frozen=True, defer_build=True):
    """One entry in which two traces differ; `str(change)` says it as a sentence."""

    kind: str
    path: str
    name: str
    change: How
    old: str = ""
    new: str = ""

    @property
    def entry(self) -> str:
        """The entry of a trace that it is about: "kind path:name"."""
        return f"{self.kind} {self.path}{':' if self.name else ''}{self.name}"

    def __str__(self) -> str:
        """Return a sentence such as "ran `near` in text/words.py, which changed"."""
        what, name = WHAT[self.change], f"`{self.name}` in {self.path}"
        match self.kind:
            case "rules":
                return f"traces are computed by other rules now: {self.old or 'none'} -> {self.new or 'none'}"
            case "ran":
                return f"ran {name}, {what}"
            case "mentioned" if self.change == "added" and "." in self.name:
                return f"{name} would be found first now"
            case "mentioned" | "statement" if self.name == "__main__":
                return f"runs {self.path} as a program, {what}"
            case "statement" if not self.name:
                return f"a statement of {self.path} acts when it is imported, {what}"
            case "mentioned" | "statement" | "choice" if self.change == "added":
                # It may have been there, and count only now: a class whose keywords act is a statement.
                return f"mentions {name} now, and did not before"
            case "mentioned" | "statement" | "choice":
                return f"mentions {name}, {what}"
            case "kinds":
                return f"{name} chooses among other kinds, or tells them apart differently"
            case "import":
                return f"{name} means {self.new or 'nothing'}, not {self.old or 'nothing'}"
            case "module" if self.path.endswith(".py"):
                return f"{self.path} {'was added and would be imported first' if self.new == 'added' else 'can be read otherwise'}"
            case "module":
                return (
                    f"{self.path} would be imported from {self.new or 'elsewhere'}" if self.new != "missing" else f"{self.path} is missing"
                )
            case "file":
                return f"reads {self.path}, {what if self.new else WHAT['gone']}"
            case "exists":
                return f"looks for {self.path}, which is {f'a {self.new} now' if self.new else 'gone'}"
            case "size":
                return f"asks for the size of {self.path}: {self.old} -> {self.new}"
            case "link":
                return f"follows the link {self.path} to {self.new or 'nothing'}, not {self.old or 'nothing'}"
            case "listing":
                return f"lists {self.path}, where {self._listed()}"
            case "order":
                what = f"the statements of {self.path}" if self.path.endswith(".py") else self.path
                return f"the order of {what or 'what modules do when they are imported'} changed"
        return f"{f'library {self.path}' if self.kind == 'library' else 'Python'}: {self.old or 'none'} -> {self.new or 'none'}"

    def _listed(self) -> str:
        old, new = set(self.old.splitlines()), set(self.new.splitlines())
        parts = [f"{name} was added" for name in sorted(new - old)[:3]] + [f"{name} is gone" for name in sorted(old - new)[:3]]
        return ", ".join(parts) or "the order changed"


def differences_of(old: dict[str, str], new: dict[str, str]) -> tuple[Change, ...]:
    """Return the entries that differ, the most telling first."""
    found = []
    for entry in {*old, *new}:
        before, after = old.get(entry), new.get(entry)
        if before != after:
            kind, _, rest = entry.partition(" ")
            path, _, name = rest.partition(":")
            how: How = "added" if before is None else "gone" if after in (None, GONE) else "changed"
            found.append(Change(kind=kind, path=path, name=name, change=how, old=before or "", new=after or ""))
    rank = {kind: number for number, kind in enumerate(KINDS)}
    return tuple(sorted(found, key=lambda change: (rank.get(change.kind, len(KINDS)), change.path, change.name)))


class Trace(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The trace of an execution: "kind path:name" -> hash."""

    entries: dict[str, str]

    @classmethod
    def read(cls, content: bytes) -> Trace:
        """Return the trace serialized in `content`."""
        return cls(entries=dict(json.loads(content)))

    @property
    def content(self) -> bytes:
        """All entries in order, as JSON."""
        text = json.dumps(sorted(self.entries.items()), ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "surrogatepass")

    @property
    def hash(self) -> str:
        """Hex sha256 of the content."""
        return hashlib.sha256(self.content).hexdigest()


def trace_of(marks: Marks, source: Source, *, cache: Path | None = None) -> Trace:
    """Return the trace that an execution with these marks has on a source; a pure function of the two and the installed libraries.

    `cache`: folder, such as `home / "cache" / "traces"`, that keeps what is known of a file by its content, and of marks on a snapshot.
    """
    with _computing:
        code = counted_code(marks, source, cache)
        entries = code.entries | _files(marks, source)
    for name, version in installed(cache).counted({*code.libraries, *marks.libraries} - source_names(source), marks.present).items():
        entries[f"library {name}"] = version
    entries["python"] = platform.python_version()
    entries["rules"] = RULES
    return Trace(entries=dict(sorted(entries.items())))


_computing = Lock()
"""Facts of a source are shared by the threads of a run, and computed once."""


def source_names(source: Source) -> set[str]:
    """Return the first names of the repository's own modules."""
    return {name.removesuffix("/").removesuffix(".py") for name in source.listing("")}


def _files(marks: Marks, source: Source) -> dict[str, str]:
    found = {f"file {path}": data_hash(path, source.text(path)) for path in _counted(marks.files, source)}
    found |= {f"listing {path}": "\n".join(source.listing(path)) for path in _counted(marks.listings, source)}
    for path in _counted((*marks.exists, *marks.absent), source):
        found[f"exists {path}"] = "file" if source.is_file(path) else "folder" if source.is_folder(path) else ""
    found |= {f"size {path}": str(len(source.text(path) or b"")) for path in _counted(marks.status, source)}
    found |= {f"link {path}": source.link(path) for path in _counted(marks.links, source)}
    beside = set(source.listing(""))
    for path in marks.unfound:
        if _begins(path, beside) and source.is_file(path):
            found[f"module {path}"] = "added"
    for name, path in marks.modules.items():
        base = name.replace(".", "/")
        first = next((one for one in (f"{base}/__init__.py", f"{base}.py") if source.is_file(one)), path)
        if first != path and "/" not in name and not source.project.is_execution(path):
            found[f"module {name}"] = first
    for name in {*marks.libraries, *marks.present}:
        ours = (one for one in (f"{name}/__init__.py", f"{name}.py") if _begins(one, beside))
        shadow = next((one for one in ours if source.is_file(one)), "")
        if shadow and not any(module.partition(".")[0] == name for module in marks.modules):
            found[f"module {name}"] = shadow
    return found


def _begins(path: str, names: set[str]) -> bool:
    """Return whether the root has the first part of a path; for most modules that were looked for in vain it has not."""
    first, below, _ = path.partition("/")
    return f"{first}{below}" in names


def _counted(asked: Iterable[str], source: Source) -> set[str]:
    """Return the paths that code other than execution code asked for."""
    parts = (one.split(":") for one in asked)
    return {path for path, *reader in parts if not (reader and source.project.is_execution(reader[0], ":".join(reader[1:])))}


def changes(old: Trace, marks: Marks, source: Source, *, cache: Path | None = None) -> tuple[Change, ...]:
    """Return how the trace of these marks on a source differs from one that was recorded; empty if and only if they are equal."""
    return differences(old, trace_of(marks, source, cache=cache))


def differences(old: Trace, new: Trace) -> tuple[Change, ...]:
    """Return the entries in which two traces differ, the most telling first."""
    return differences_of(old.entries, new.entries)
