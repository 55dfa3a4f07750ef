"""The code that counts for marks on a source; kept for frozen code, so a run or plan whose code is as it was follows nothing again."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import dataclass
from functools import cache as once
from pathlib import Path
from weakref import WeakKeyDictionary

from tasks.stage.identity.tracing.code.closure import Closure
from tasks.stage.identity.tracing.code.modules import Modules
from tasks.stage.identity.tracing.marks import Marks
from tasks.stage.identity.tracing.source import Source
from tasks.stage.system.atomic_files import keep, kept


@dataclass(frozen=True)
class Counted:
    """Entry -> hash of all code that counts, and the first names of the libraries that it imports."""

    entries: dict[str, str]
    libraries: frozenset[str]


def counted_code(marks: Marks, source: Source, cache: Path | None) -> Counted:
    """Return what counts. `cache`: folder that holds one answer for each marks, with what it is an answer to; and the facts of files."""
    if cache is None or not source.state:
        return _followed(marks, _modules(marks, source, cache))
    asked = hashlib.sha256(marks.model_dump_json().encode()).hexdigest()
    file, question = cache / f"{asked}.counted", _question(asked, source)
    if (found := kept(file)) is not None and (answer := json.loads(found))["question"] == question:
        return Counted(answer["entries"], frozenset(answer["libraries"]))
    modules = _modules(marks, source, cache)
    counted = _followed(marks, modules)
    # What lies beside the snapshot can change under it, so an answer that looked there is good for this once.
    if not any(map(source.is_beside, _looked_at(marks, modules))) and _question(asked, source) == question:
        answer = {"question": question, "entries": counted.entries, "libraries": sorted(counted.libraries)}
        keep(file, json.dumps(answer, separators=(",", ":")).encode("utf-8", "surrogatepass"))
    return counted


def _followed(marks: Marks, modules: Modules) -> Counted:
    closure = Closure(marks, modules)
    return Counted(closure.entries(), frozenset(closure.libraries))


def _question(marks: str, source: Source) -> str:
    """Return the hash of all that an answer depends on: the marks' digest, the frozen code, the names beside it, Python and the rules."""
    parts = [marks, _rules(), platform.python_version(), source.state, *source.listing("")]
    return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


@once
def _rules() -> str:
    files = sorted(Path(__file__).parent.parent.rglob("*.py"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()


def _looked_at(marks: Marks, modules: Modules) -> set[str]:
    """Return the first parts of all paths whose content or absence the answer rests on, or that other answers of these modules did."""
    names = {name.partition(".")[0] for name in modules.looked_up()} - {""}
    files = {one.partition(":")[0] for one in marks.files if not one.partition(":")[0].endswith(".py")}
    return names | {f"{name}.py" for name in names} | {path.partition("/")[0] for path in (*files, *modules.elsewhere.values())}


def _modules(marks: Marks, source: Source, cache: Path | None) -> Modules:
    """Return the facts of a source, shared by all traces on it unless a module's path does not follow from its name."""
    standard = ("{}.py", "{}/__init__.py")
    elsewhere = {name: path for name, path in marks.modules.items() if path not in [one.format(name.replace(".", "/")) for one in standard]}
    elsewhere = {name: path for name, path in elsewhere.items() if name != path}
    known = _known.setdefault(source, {})
    key = tuple(sorted(elsewhere.items()))
    if key not in known:
        known[key] = Modules(source, cache, elsewhere)
    return known[key]


_known: WeakKeyDictionary[Source, dict[tuple[tuple[str, str], ...], Modules]] = WeakKeyDictionary()
