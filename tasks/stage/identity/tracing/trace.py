"""The trace of an execution: what it read, as name -> hash.

It is computed from the execution's marks and a source, so the same marks can be looked up in today's source and compared.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable
from pathlib import Path
from threading import Lock

from pydantic import BaseModel

from tasks.stage.identity.tracing.changes import Change, differences_of
from tasks.stage.identity.tracing.code.counted import counted_code
from tasks.stage.identity.tracing.code.normal import data_hash
from tasks.stage.identity.tracing.execution_code import is_execution
from tasks.stage.identity.tracing.libraries import installed
from tasks.stage.identity.tracing.marks import Marks
from tasks.stage.identity.tracing.source import Source

__all__ = ["Change", "Trace", "changes", "differences", "trace_of"]

RULES = "4"  # of what counts and how it is hashed; with others an old trace can't be compared


class Trace(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """What an execution read: "kind path:name" -> hash."""

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
    found = {f"file {path}": data_hash(path, source.text(path)) for path in _counted(marks.files)}
    found |= {f"listing {path}": "\n".join(source.listing(path)) for path in _counted(marks.listings)}
    for path in _counted((*marks.exists, *marks.absent)):
        found[f"exists {path}"] = "file" if source.is_file(path) else "folder" if source.is_folder(path) else ""
    found |= {f"size {path}": str(len(source.text(path) or b"")) for path in _counted(marks.status)}
    found |= {f"link {path}": source.link(path) for path in _counted(marks.links)}
    beside = set(source.listing(""))
    for path in marks.unfound:
        if _begins(path, beside) and source.is_file(path):
            found[f"module {path}"] = "added"
    for name, path in marks.modules.items():
        base = name.replace(".", "/")
        first = next((one for one in (f"{base}/__init__.py", f"{base}.py") if source.is_file(one)), path)
        if first != path and "/" not in name and not is_execution(path):
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


def _counted(asked: Iterable[str]) -> set[str]:
    """Return the paths that code other than execution code asked for."""
    parts = (one.split(":") for one in asked)
    return {path for path, *reader in parts if not (reader and is_execution(reader[0], ":".join(reader[1:])))}


def changes(old: Trace, marks: Marks, source: Source, *, cache: Path | None = None) -> tuple[Change, ...]:
    """Return how the trace of these marks on a source differs from one that was recorded; empty if and only if they are equal."""
    return differences(old, trace_of(marks, source, cache=cache))


def differences(old: Trace, new: Trace) -> tuple[Change, ...]:
    """Return the entries in which two traces differ, the most telling first."""
    return differences_of(old.entries, new.entries)
