"""Marks: what an execution ran and read, as its processes wrote it down. Kept with the record; a trace is computed of them.

Marks are facts of the past and hold no hash of code: what the same marks mean on another source is `trace_of`'s question.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from pydantic import BaseModel

from tasks.stage.identity.tracing.mark_file import VERSION
from tasks.stage.identity.tracing.watched_files import SourceEdited

# Classes of libraries that find a method of a subclass by no name but those that they have themselves.
KNOWN = re.compile(
    r"(builtins|abc|enum|typing|typing_extensions|collections(\.abc)?|contextlib|dataclasses|threading|logging|io|_io|json\.\w+|string|html\.parser|_markupbase|"
    r"argparse|pydantic[\w.]*|torch\.nn\.modules[\w.]*|torch\.optim[\w.]*|torch\.utils\.data[\w.]*|torch\.autograd[\w.]*)\.[\w.]+$"
)


FIRST = 3  # the version of marks from before they named one


class MissingMarks(RuntimeError):
    """A process of an execution left no marks, or not all, so nothing can be said about what it ran."""


class Marks(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Marks of an execution: definitions entered, modules imported, files read and lookups missed. Paths are relative to the repository.

    `modules`: module name -> path, of all that were imported. `roots`: modules that were asked for by name at run time. `programs`: modules
    that ran as `__main__`. `entered`: "path:qualname". `made`: "path:class" of the models with a tag that were made, "*" if it could be
    any. `reads`: "path:name" read of a module object at run time. `attributes`: names asked for by `getattr`. `named`: "module:name" that
    a pickle named. `derived`: "path:class" -> what it inherits from libraries; `interfaces`: the names that each of those has; `acting`:
    those that act when a class inherits from them. `files`, `exists`, `absent`, `listings`: of the repository, and `status` of those whose
    size or kind was asked for, each with the definition of ours that asked, as "path:asking path:qualname"; `links` that were followed by
    name; `unfound`: where a module was looked for in vain. `libraries`: first names of modules that were imported after the beginning;
    `preloaded`: those before it; `present`: all there were. `heard`: something but a person may have read what our code logged.
    `processes`: how many have marked. `snapshot`: the source it ran. `version`: of what is marked and how.
    """

    modules: dict[str, str] = {}
    roots: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    entered: tuple[str, ...] = ()
    made: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    derived: dict[str, tuple[str, ...]] = {}
    interfaces: dict[str, tuple[str, ...]] = {}
    acting: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    exists: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()
    unfound: tuple[str, ...] = ()
    listings: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    preloaded: tuple[str, ...] = ()
    present: tuple[str, ...] = ()
    heard: bool = False
    python: str = ""
    processes: int = 0
    snapshot: str = ""
    version: int = FIRST

    @classmethod
    def read(cls, folder: Path) -> Marks:
        """Unite the marks of all processes that marked in a folder. Raises MissingMarks if one of them is missing or its marks are torn."""
        collected = _Collected()
        for log, text in sorted(((log, log.read_text(encoding="utf-8")) for log in folder.glob("*.log")), key=lambda one: _started(one[1])):
            collected.add(log, text)
        collected.require_all(folder)
        return collected.marks()

    def union(self, other: Marks) -> Marks:
        """Return the marks of two executions that together made one artifact, such as one that continued from the other's checkpoint."""
        mine, theirs = self.model_dump(), other.model_dump()
        merged: dict[str, object] = {
            name: tuple(dict.fromkeys([*value, *theirs[name]])) for name, value in mine.items() if isinstance(value, tuple)
        }
        merged |= {name: tuple(sorted(value)) for name, value in merged.items() if name != "roots" and isinstance(value, tuple)}
        merged |= {name: {**value, **theirs[name]} for name, value in mine.items() if isinstance(value, dict)}
        # What one of them imported first may have done something there.
        merged["preloaded"] = tuple(sorted({*self.preloaded} & {*other.preloaded}))
        return Marks.model_validate({**theirs, **merged, "processes": self.processes + other.processes, "heard": self.heard or other.heard})

    def inherited(self, path: str, qualname: str) -> frozenset[str] | None:
        """Return the names that a class has from libraries; None if it isn't known, or the library looks names up as it likes."""
        found = self.derived.get(f"{path}:{qualname}")
        if found is None or not all(KNOWN.match(interface) for interface in found):
            return None
        return frozenset(name for interface in found for name in self.interfaces.get(interface, ()))

    def is_still(self, path: str, qualname: str) -> bool:
        """Return whether a class inherits from classes of libraries alone that do nothing when a class inherits from them."""
        found = self.derived.get(f"{path}:{qualname}")
        return found is not None and not set(self.acting).intersection(found)


def _require_unchanged(root: str, path: str, digest: str) -> None:
    """Raise SourceEdited if a file outside the snapshot has changed since it was read."""
    try:
        found = hashlib.sha256((Path(root) / path).read_bytes()).hexdigest()
    except OSError:
        found = "nothing"
    if found != digest:
        raise SourceEdited(f"{path} was edited after this execution had read it. Start the run again.")


def _started(text: str) -> int:
    """Return when the process of a log began; what it read first comes first."""
    first = json.loads(text.partition("\n")[0] or "[]")
    return int(first[4]) if first[:2] == ["start", VERSION] else 0


class _Collected:
    def __init__(self) -> None:
        self.sets: dict[str, dict[str, None]] = {}  # in the order they were written
        self.derived: dict[str, tuple[str, ...]] = {}
        self.interfaces: dict[str, tuple[str, ...]] = {}
        self.modules: dict[str, str] = {}
        self.started: dict[int, int] = {}
        self.replaced: list[int] = []
        self.wrapped: list[int] = []
        self.pids: list[int] = []
        self.ranks: set[tuple[str, str]] = set()
        self.parents: list[int] = []
        self.python = self.snapshot = ""

    def add(self, log: Path, text: str) -> None:
        flags = log.with_suffix(".flags").read_bytes()
        if not text.endswith("\n"):
            raise MissingMarks(f"{log}: its last line is torn" if text else f"{log}: a process was ended before it could mark")
        lines = [json.loads(line) for line in text.splitlines()]
        if lines[0][:2] != ["start", VERSION]:
            raise MissingMarks(f"{log}: begins with {lines[0]}, not with a handshake of version {VERSION}")
        _, _, pid, parent, _, self.snapshot, self.python, root = lines[0]
        self.parents.append(parent)
        self.pids.append(pid)
        ranks = [values[0] for kind, *values in lines if kind == "rank"]
        self.ranks |= {(values[0], rank) for kind, *values in lines if kind == "program" for rank in ranks}
        for kind, *values in lines[1:]:
            if kind == "module":
                name, path, qualnames, first = values
                self.modules[path if name == "__main__" else name] = path
                entered = (f"{path}:{q}" for q, flag in zip(qualnames, flags[first : first + len(qualnames)], strict=True) if flag)
                self.sets.setdefault("entered", {}).update(dict.fromkeys(entered))
            elif kind == "unfrozen":
                _require_unchanged(root, *values)
            elif kind == "derives":
                self.derived[values[0]] = tuple(values[1])
            elif kind == "interface":
                self.interfaces[values[0]] = tuple(values[1])
            elif kind == "started":
                self.started[pid] = self.started.get(pid, 0) + 1
            elif kind == "rank":
                continue  # it is known by now
            elif kind == "replaced":
                self.replaced.append(pid)
            elif kind == "wrapped":
                self.wrapped.append(pid)
            else:
                self.sets.setdefault(kind, {})[":".join(map(str, values))] = None

    def require_all(self, folder: Path) -> None:
        if not self.parents:
            raise MissingMarks(f"{folder}: no process has marked")
        for expected in folder.glob("*.expected"):
            for worker in json.loads(expected.read_text(encoding="utf-8")):
                if (worker["program"], str(worker["rank"])) not in self.ranks:
                    raise MissingMarks(
                        f"{worker['name']} ({worker['program']}) has left no marks in {folder}, so what it ran is not known: it must see "
                        "that folder under this name"
                    )
        missing = [pid for pid, count in self.started.items() if self.parents.count(pid) < count]
        missing += [pid for pid in self.replaced if self.pids.count(pid) <= self.replaced.count(pid)]
        if len(self.pids) < 1 + sum(self.started.values()) + len(self.replaced) + len(self.wrapped):
            missing += self.wrapped
        if missing:
            raise MissingMarks(
                f"{folder}: process {missing[0]} started a Python process that has not marked; "
                "who imports this repository must start with FOLIO_MARKS, FOLIO_SNAPSHOT and PYTHONPATH as its parent has them"
            )

    def marks(self) -> Marks:
        of = {kind: tuple(sorted(values)) for kind, values in self.sets.items()}
        return Marks(
            modules=dict(sorted(self.modules.items())),
            roots=tuple(self.sets.get("root", ())),
            named=of.get("named", ()),
            derived=dict(sorted(self.derived.items())),
            interfaces=dict(sorted(self.interfaces.items())),
            acting=of.get("acting", ()),
            programs=tuple(sorted(value.partition(":")[2] for value in of.get("program", ()))),
            entered=of.get("entered", ()),
            made=of.get("made", ()),
            reads=of.get("read", ()),
            attributes=of.get("attribute", ()),
            files=of.get("file", ()),
            exists=of.get("exists", ()),
            status=of.get("status", ()),
            links=of.get("link", ()),
            absent=of.get("absent", ()),
            unfound=of.get("unfound", ()),
            listings=of.get("listing", ()),
            libraries=of.get("library", ()),
            preloaded=of.get("preloaded", ()),
            heard="heard" in of,
            present=tuple(
                sorted({*of.get("preloaded", ()), *of.get("present", ()), *(name.partition(".")[0] for name in of.get("library", ()))})
            ),
            python=self.python,
            processes=len(self.parents),
            snapshot=self.snapshot,
            version=VERSION,
        )
