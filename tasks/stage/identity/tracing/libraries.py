"""The libraries that count: distributions that counted code imports, with what they require, as far as it was loaded.

Distributions that can't change a stage's output are left out, each with its reason. A module outside any distribution counts by its file.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from importlib.metadata import Distribution, distributions
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tasks.stage.system.atomic_files import keep, kept

UNCOUNTED = {
    "folio": "it is what the rest of the trace is about",
    "pip": "it fetches archives whose digests are in the key",
    "prefect": "it orchestrates; stages run in processes of their own",
    "mlflow": "it records",
    "psutil": "it measures processes",
    "tqdm": "progress on a terminal",
    "rich": "tables on a terminal",
    "typer": "command line",
    "click": "command line",
    "colorama": "colours on a terminal",
    "setuptools": "it installs",
    "packaging": "it compares versions",
    "filelock": "locks of caches",
    "typing-extensions": "names of types",
    "typing-inspection": "names of types",
    "annotated-types": "names of types",
    "hypothesis": "tests of libraries",
    "pytest": "tests of libraries",
    "cloudpickle": "objects on their way between processes",
    "networkx": "graphs that torch compiles, and drawings",
    "sympy": "shapes of graphs that torch compiles",
    "mpmath": "a part of sympy",
    "sitecustomize": "it runs when Python starts, and differs between parent and child",
    "usercustomize": "it runs when Python starts",
}
UNUSED = {
    ("torch", "jinja2"): "templates of kernels that it compiles itself",
    ("torch", "fsspec"): "checkpoints that it writes itself, which we don't use",
}
METADATA = (".dist-info", ".egg-info", "EGG-INFO")
HIDDEN = frozenset({".git", "__pycache__", ".venv", "node_modules", ".mypy_cache", ".pytest_cache", ".ruff_cache"})
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Installed:
    """The installed distributions: versions, who has which top-level modules, what each requires, and where the editable ones lie."""

    versions: dict[str, str]
    modules: dict[str, list[str]]
    requires: dict[str, list[str]]
    editable: dict[str, str] = field(default_factory=dict)

    def counted(self, roots: Iterable[str], present: Iterable[str]) -> dict[str, str]:
        """Return version by distribution for modules that counted code imports; `present`: all modules that were loaded."""
        loaded = frozenset(present)
        belongs: dict[str, set[str]] = {}
        for module, owners in self.modules.items():
            for owner in owners:
                belongs.setdefault(owner, set()).add(module)
        found: dict[str, str] = {}
        waiting = [(owner, "") for root in sorted(set(roots)) for owner in self.modules.get(root, [])]
        while waiting:
            name, by = waiting.pop()
            if name in found or name in UNCOUNTED or (by, name) in UNUSED or (by and loaded.isdisjoint(belongs.get(name, ()))):
                continue
            found[name] = self.versions[name]
            if root := self.editable.get(name):
                found[name] += f"+files.{_files_of(root)}"
            waiting += [(other, name) for other in self.requires.get(name, [])]
        for root in sorted(set(roots)):
            ours = root in UNCOUNTED or root in sys.stdlib_module_names or root.startswith("_")
            if root not in self.modules and not ours and (loose := _loose(root)):
                found[root] = loose
        return found


def installed(cache: Path | None = None) -> Installed:
    """Return what is installed now; read once a process, and kept in a cache by the names and times of the metadata folders."""
    return _installed(tuple(sys.path), cache)


@lru_cache(maxsize=4)
def _installed(path: tuple[str, ...], cache: Path | None) -> Installed:
    folders = {place: names for place in path if place and (names := _metadata(place))}
    key = hashlib.sha256(json.dumps(folders).encode()).hexdigest()
    file = cache / f"{key}.libraries" if cache is not None else None
    if file is not None and (text := kept(file)) is not None:
        return Installed(**json.loads(text))
    found = _read(key)
    if file is not None:
        keep(file, json.dumps(asdict(found)).encode())
    return found


def _metadata(place: str) -> list[tuple[str, int]]:
    """Return the metadata folders of a place on the path of modules, with their times; of an archive, itself."""
    folder = Path(place)
    if folder.is_dir():
        return sorted((entry.name, entry.stat().st_mtime_ns) for entry in folder.iterdir() if entry.name.endswith(METADATA))
    return [(place, folder.stat().st_mtime_ns)] if folder.exists() else []


@lru_cache(maxsize=4)
def _read(key: str) -> Installed:
    """Read the metadata of every distribution. The key names the path and the metadata's times, so what is cached by it is current."""
    versions: dict[str, str] = {}
    modules: dict[str, list[str]] = {}
    requires: dict[str, list[str]] = {}
    editable: dict[str, str] = {}
    for one in distributions():
        name = _normal(one.metadata["Name"] or "")
        if not name or name in versions:
            continue
        versions[name] = one.version
        if root := _editable_root(one):
            editable[name] = root
        requires[name] = sorted(
            {_normal(found[0]) for text in one.requires or [] if "extra ==" not in text and (found := NAME.match(text))}
        )
        for module in _top_level(one):
            modules.setdefault(module, []).append(name)
    known = frozenset(versions)
    return Installed(
        versions,
        {module: sorted(names) for module, names in sorted(modules.items())},
        {name: [other for other in others if other in known] for name, others in requires.items()},
        editable,
    )


def _top_level(one: Distribution) -> set[str]:
    listed = (one.read_text("top_level.txt") or "").split()
    if listed:
        return set(listed)
    names = {
        file.parts[0] if len(file.parts) > 1 else file.name.partition(".")[0]
        for file in one.files or []
        if file.suffix in (".py", ".so", ".pyd")
    }
    return {name for name in names if name.isidentifier()}


def _editable_root(one: Distribution) -> str:
    """Return the folder of a distribution that is installed in place; "" of any other."""
    origin = json.loads(one.read_text("direct_url.json") or "{}")
    return unquote(urlsplit(origin["url"]).path) if origin.get("dir_info", {}).get("editable") else ""


@lru_cache(maxsize=64)
def _files_of(root: str) -> str:
    """Return the hash of the files below a folder, since an editable distribution's version does not change with them."""
    folder = Path(root)
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and HIDDEN.isdisjoint(path.relative_to(folder).parts))
    hashes = [f"{path.relative_to(folder)} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in paths]
    return hashlib.sha256("\n".join(hashes).encode()).hexdigest()[:24]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@lru_cache(maxsize=512)
def _loose(module: str) -> str:
    """Return the hash of a module that belongs to no distribution; "" if there is none."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        return ""
    if spec.origin is None or not Path(spec.origin).is_file():
        return "present"
    return hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()[:24]
