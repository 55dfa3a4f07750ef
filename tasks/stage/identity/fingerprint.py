"""Which code a stage's bytes depend on: a hash for every definition that its function reaches inside this repository.

Guarantees: comments, docstrings, formatting, moved lines, annotations and field descriptions change no hash; an edit to anything
reached does: functions, classes, constants, what an imported name stands for, `.sql` files and templates, and programs started by name
or path. What is not reached changes nothing. Where a use cannot be followed everything it could mean is taken in, and its hash ends in
` perhaps: ` and the reason: the analysis may rerun too much, and then says so, never too little.
The stage machinery itself (`tasks.stage`) is left out: it moves bytes, it does not make them.
The code told of is that which lay on disk when this module was imported. Fingerprints are kept in a folder by a digest of all its bytes,
so that a process which finds its tree there pays for reading the files and no more; what is damaged there is made again.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from tasks.stage.identity.code.reach import PERHAPS, Walk
from tasks.stage.identity.code.source_tree import ROOT, Tree
from tasks.stage.identity.code.sources import Sources
from tasks.stage.system.atomic_files import write_atomically

__all__ = ["PERHAPS", "changed_definitions", "fingerprint", "freeze"]

KEPT = 20
_known: dict[tuple[str, str, Path], dict[str, str]] = {}


@cache
def _sources(root: Path) -> Sources:
    return Sources(Tree.read(root))


# Now, since what this process has in memory is what lies there now.
_sources(ROOT)


def fingerprint(module_name: str, function_name: str, root: Path = ROOT) -> dict[str, str]:
    """Hashes of everything a function reaches, by `path:definition` or data file path.

    Raises LookupError when the module is not one of this repository's.
    """
    key = (module_name, function_name, root)
    if key not in _known:
        _known[key] = _walk(_sources(root), module_name, function_name, root)
    return dict(_known[key])


def _walk(sources: Sources, module_name: str, function_name: str, root: Path) -> dict[str, str]:
    module = sources.tree.module(module_name)
    if module is None:
        raise LookupError(f"{module_name} is not a module of this repository ({root}), so its code has no fingerprint.")
    return Walk(sources).run(module, function_name)


def freeze(functions: Iterable[tuple[str, str]], cache: Path | None = None) -> None:
    """Take the fingerprints of (module, function) pairs now: they then tell of the code that this process imported.

    Without it an edit made while a run is under way would enter the keys of its later stages, whose old code is in memory.
    `cache`: folder in which they are kept for the next process.
    """
    tree = _sources(ROOT).tree
    wanted = {f"{module}:{function}": (module, function) for module, function in functions if tree.path(module) is not None}
    kept = None if cache is None else cache / f"{tree.digest[:32]}-{sys.version_info[0]}.{sys.version_info[1]}.json"
    found = _load(kept) if kept is not None else {}
    missing = sorted(wanted.keys() - found.keys())
    for name in missing:
        found[name] = fingerprint(*wanted[name])
    for name, (module, function) in wanted.items():
        _known.setdefault((module, function, ROOT), found[name])
    if kept is not None and missing:
        _keep(kept, found)


def _load(path: Path) -> dict[str, dict[str, str]]:
    """What was kept; nothing when it is not there or not as it was written."""
    try:
        digest, _, text = path.read_bytes().partition(b"\n")
    except OSError:
        return {}
    if hashlib.sha256(text).hexdigest().encode() != digest:
        return {}
    found: dict[str, dict[str, str]] = json.loads(text)
    return found


def _keep(path: Path, found: dict[str, dict[str, str]]) -> None:
    text = json.dumps(found, sort_keys=True).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
    for old in sorted(path.parent.glob("*.json"), key=lambda p: p.stat().st_mtime, reverse=True)[KEPT:]:
        old.unlink(missing_ok=True)


def changed_definitions(module_name: str, function_name: str, root: Path = ROOT, seen: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """What is no longer as a function's fingerprint saw it; code that is imported from here on would be other code.

    `seen`: a fingerprint taken in another process, which this one's code in memory and on disk is held against; else this one's own.
    """
    before, now = _sources(root).tree, Tree.read(root)
    if before.path(module_name) is None:
        return ()
    mine = fingerprint(module_name, function_name, root)
    seen = mine if seen is None else seen
    found = mine if now.digest == before.digest else _walk(Sources(now), module_name, function_name, root)
    return tuple(name for name in sorted({*seen, *mine, *found}) if not seen.get(name) == mine.get(name) == found.get(name))
