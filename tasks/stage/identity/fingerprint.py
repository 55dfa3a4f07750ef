"""The fingerprint of a stage's code: a hash for every definition that its function reaches inside this repository.

Comments, docstrings, formatting, moved lines, annotations and field descriptions change no hash. An edit to anything reached does:
functions, classes, constants, what an imported name refers to, `.sql` files and templates, and programs started by name or path. Code that
is not reached changes nothing. Where a use cannot be followed, everything it could mean is included, and its hash ends in ` perhaps: ` and
the reason: the analysis may rerun too much, and says so, but never too little.
The stage machinery itself (`tasks.stage`) is left out: it moves bytes, it does not make them.
Fingerprints describe the code that lay on disk when this module was imported. They are cached in a folder under a digest of all source
bytes, so a process with a known tree only has to read the files; a damaged cache file is rebuilt.
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

CACHED_TREES = 20
_known: dict[tuple[str, str, Path], dict[str, str]] = {}


@cache
def _sources(root: Path) -> Sources:
    return Sources(Tree.read(root))


# Read now, while the files on disk are what this process has imported.
_sources(ROOT)


def fingerprint(module_name: str, function_name: str, root: Path = ROOT) -> dict[str, str]:
    """Return the hashes of everything a function reaches, by `path:definition` or data file path.

    Raises LookupError when the module is not part of this repository.
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
    """Take the fingerprints of (module, function) pairs now, so that they describe the code that this process imported.

    Otherwise an edit made during a run would enter the keys of its later stages, although the old code is in memory. `cache`: folder that
    keeps them for the next process.
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
        _save(kept, found)


def _load(path: Path) -> dict[str, dict[str, str]]:
    """Return the cached fingerprints; nothing when the file is missing or damaged."""
    try:
        digest, _, text = path.read_bytes().partition(b"\n")
    except OSError:
        return {}
    if hashlib.sha256(text).hexdigest().encode() != digest:
        return {}
    found: dict[str, dict[str, str]] = json.loads(text)
    return found


def _save(path: Path, found: dict[str, dict[str, str]]) -> None:
    text = json.dumps(found, sort_keys=True).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
    for old in sorted(path.parent.glob("*.json"), key=lambda p: p.stat().st_mtime, reverse=True)[CACHED_TREES:]:
        old.unlink(missing_ok=True)


def changed_definitions(module_name: str, function_name: str, root: Path = ROOT, seen: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Return the definitions that differ from a function's fingerprint; code imported from now on would be different code.

    `seen`: a fingerprint from another process, compared with this process's code in memory and on disk; by default this process's own.
    """
    before, now = _sources(root).tree, Tree.read(root)
    if before.path(module_name) is None:
        return ()
    mine = fingerprint(module_name, function_name, root)
    seen = mine if seen is None else seen
    found = mine if now.digest == before.digest else _walk(Sources(now), module_name, function_name, root)
    return tuple(name for name in sorted({*seen, *mine, *found}) if not seen.get(name) == mine.get(name) == found.get(name))
