"""The repository's files at one moment: on disk now, or frozen when a run or a plan opened.

Paths are relative to the root, with `/`. Only what git would track counts: nothing that `.gitignore` names, no environment, no cache, no
folder named in `exclude` (the store, folio's home). Folders that hold Python code are frozen whole; any other file of the repository, such
as a pile of documents, is read in place, and its digest is recorded with each read.
"""

from __future__ import annotations

import ast
import fnmatch
import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from tasks.stage.system.atomic_files import write_whole

LIBRARY = f"{__name__.removesuffix('.identity.tracing.source').replace('.', '/')}/"
"""The folder of the stage machinery, which moves bytes and decides nothing about them, in the repository that holds it."""
LIBRARY_ROOT = Path(__file__).resolve().parents[4]
"""The folder that this library can be imported from."""
NEVER = (".git", "__pycache__", "*.pyc", "*.egg-info", "node_modules", ".venv", ".folio", ".*_cache", ".hypothesis", "*~", ".*.sw?")
STAT, READ_LINK, LINKED = os.stat, os.readlink, os.path.islink  # as they were before a recorder listens to them
SETTLED_NS = 1_000_000_000
Names = tuple[tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class Project:
    """The repository of a pipeline.

    `packages`: its top-level packages. `execution`: its code that can't change a byte of any artifact, with the reasons: a file by its
    path, a definition as `path:qualname`, all below a folder by a path that ends in `/`. `tag`: the field by which its unions of models
    choose a member. `libraries`: those to load once for all bodies, which share their memory then. `environment`: variables that a body
    finds where its run has none of the name.
    """

    root: Path
    packages: tuple[str, ...] = ()
    execution: Mapping[str, str] = field(default_factory=dict)
    tag: str = "kind"
    libraries: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return all but the root as plain data."""
        return {name: value for name, value in asdict(self).items() if name != "root"}

    @classmethod
    def from_json(cls, root: Path, found: Mapping[str, Any]) -> Project:
        """Read what `to_json` has returned."""
        return cls(root, tuple(found["packages"]), found["execution"], found["tag"], tuple(found["libraries"]), found["environment"])

    @cached_property
    def rules(self) -> str:
        """Hash of what the facts of a file depend on."""
        return hashlib.sha256(json.dumps([sorted(self.execution), self.tag]).encode()).hexdigest()

    @cached_property
    def execution_folders(self) -> tuple[str, ...]:
        """Folders of which all is execution code."""
        return (LIBRARY, *(name for name in self.execution if name.endswith("/")))

    def is_execution(self, path: str, qualname: str = "") -> bool:
        """Return whether a file, or a definition in it, is execution code."""
        if path in self.execution or f"{path}:{qualname}" in self.execution:
            return True
        outer = qualname.rpartition(".")[0]
        if outer and f"{path}:{outer}" in self.execution:
            return True
        return path.startswith(self.execution_folders)

    def is_execution_module(self, module: str) -> bool:
        """Return whether a module, by its dotted name, lies in a folder of execution code."""
        return f"{module.replace('.', '/')}/".startswith(self.execution_folders)


class SourceMissing(RuntimeError):
    """A snapshot that a process was told to read is not there, or not whole."""


class Source:
    """Files by path. Each is read at most once, so every question is answered from the same bytes."""

    def __init__(
        self, project: Project, ignored: tuple[str, ...], exclude: Iterable[str], frozen: dict[str, str] | None, blobs: Path
    ) -> None:
        """Use `of`, `frozen`, `snapshot` or `opened`. `frozen`: digests by path, kept below `blobs`."""
        self.project, self.root, self.ignored, self.exclude = project, project.root, ignored, frozenset(exclude)
        self._ignored_name = re.compile("|".join(map(fnmatch.translate, ignored)) or r"(?!)")
        self.manifest: Path | None = None
        self.state = ""  # of frozen files: the hash of what a manifest says of them
        self._frozen, self._blobs = frozen, blobs
        self._rooms = None if frozen is None else {path.partition("/")[0] for path in frozen}
        self._listed: dict[str, Names] = {} if frozen is None else _folders(frozen)
        self._root_names: tuple[int, Names] | None = None
        self._read: dict[str, bytes | None] = {}
        self._digests: dict[str, str] = {}
        self._relative: dict[str, str | None] = {}
        self._links: dict[str, str] = {}

    @classmethod
    def of(cls, project: Project | Path, *, exclude: Iterable[Path] = ()) -> Source:
        """Return the files on disk, each read on first access; a path is a project of which nothing else is declared."""
        project = Project(project) if isinstance(project, Path) else project
        root = project.root.resolve()
        return cls(replace(project, root=root), (*NEVER, *_ignored(root)), map(str, exclude), None, root)

    @classmethod
    def frozen(cls, project: Project | Path, *, exclude: Iterable[Path] = ()) -> Source:
        """Return the repository's code as it is now, held in memory: what `snapshot` would return, with nothing written."""
        live = cls.of(project, exclude=exclude)
        # An editor's temporary file may have vanished meanwhile.
        held = {path: content for path in live.rooms() if (content := live.text(path)) is not None}
        digests = {path: live.digest_of(path) for path in held}
        source = cls(live.project, live.ignored, live.exclude, digests, live.root)
        source._links = {path: live.link(path) for path in _with_folders(held) if LINKED(f"{live.root}/{path}")}
        source._read = dict(held)
        source.state = hashlib.sha256(source._described()).hexdigest()
        return source

    @classmethod
    def snapshot(cls, project: Project | Path, folder: Path, *, exclude: Iterable[Path] = ()) -> Source:
        """Freeze the repository's code, and the files beside it, in a content-addressed folder; `manifest` is what `opened` reads."""
        held = cls.frozen(project, exclude=exclude)
        blobs = folder / "files"
        blobs.mkdir(parents=True, exist_ok=True)
        kept = {path.name for path in blobs.iterdir()}
        for path, digest in (held._frozen or {}).items():
            if digest not in kept:
                write_whole(blobs / digest, held.text(path) or b"")
        manifest = folder / f"{held.state}.json"
        if not manifest.exists():
            write_whole(manifest, held._described())
        return cls.opened(manifest)

    def _described(self) -> bytes:
        """Return the manifest of frozen files."""
        found = {"root": str(self.root), "project": self.project.to_json(), "ignored": self.ignored, "exclude": sorted(self.exclude)}
        return json.dumps(found | {"files": self._frozen, "links": self._links}, sort_keys=True).encode()

    @classmethod
    def opened(cls, manifest: Path) -> Source:
        """Return a snapshot. Raises SourceMissing if it is gone or damaged."""
        try:
            text = manifest.read_bytes()
        except OSError as error:
            raise SourceMissing(f"{manifest}: the snapshot of the source is gone; start the run again") from error
        if hashlib.sha256(text).hexdigest() != manifest.stem:
            raise SourceMissing(f"{manifest}: the snapshot of the source is damaged; delete it and start the run again")
        found = json.loads(text)
        if "project" not in found:
            raise SourceMissing(f"{manifest}: another version of folio took this snapshot of the source; start the run again")
        project = Project.from_json(Path(found["root"]), found["project"])
        source = cls(project, tuple(found["ignored"]), found["exclude"], found["files"], manifest.parent / "files")
        source.manifest, source.state, source._links = manifest, manifest.stem, found["links"]
        return source

    def text(self, path: str) -> bytes | None:
        """Return the bytes of a file; None if the repository doesn't have it."""
        if path not in self._read:
            self._read[path] = self._load(path)
        return self._read[path]

    def digest_of(self, path: str) -> str:
        """Return the hex sha256 of a file, "" if there is none."""
        if self._frozen is not None and self.is_frozen(path):
            return self._frozen.get(path, "")
        if path not in self._digests:
            content = self.text(path)
            self._digests[path] = "" if content is None else hashlib.sha256(content).hexdigest()
        return self._digests[path]

    def is_frozen(self, path: str) -> bool:
        """Return whether a path lies where this snapshot has all there is; in a live source nothing is."""
        return self._rooms is not None and path.partition("/")[0] in self._rooms

    def is_beside(self, path: str) -> bool:
        """Return whether a path begins with a name that the root has and this snapshot has not."""
        first = path.partition("/")[0]
        return not self.is_frozen(first) and self.exists(first)

    def link(self, path: str) -> str:
        """Return where a symbolic link leads, as it says so; "" for anything else."""
        if self.is_frozen(path):
            return self._links.get(path, "")
        try:
            return READ_LINK(self.root / path)
        except OSError:
            return ""

    def tree(self, path: str) -> ast.Module:
        """Return a file as a syntax tree. Raises SyntaxError or ValueError as Python's import would."""
        return parse(self.text(path) or b"", path)

    def exists(self, path: str) -> bool:
        """Return whether the repository has this file or folder."""
        return self.is_file(path) or self.is_folder(path)

    def is_file(self, path: str) -> bool:
        """Return whether the repository has this file."""
        folder, _, name = path.rpartition("/")
        if folder and self._frozen is not None and self.is_frozen(path):
            return path in self._frozen
        return name in self._list(folder)[1]

    def is_folder(self, path: str) -> bool:
        """Return whether the repository has this folder; the root is "" or "."."""
        if path in ("", "."):
            return True
        folder, _, name = path.rpartition("/")
        return name in self._list(folder)[0]

    def listing(self, folder: str) -> tuple[str, ...]:
        """Return the names in a folder, sorted; a folder's ends in `/`."""
        folders, files = self._list("" if folder == "." else folder)
        return tuple(sorted([*(f"{name}/" for name in folders), *files]))

    def walk(self, folder: str = "") -> Iterator[str]:
        """Yield the paths of all files at or below a folder, sorted."""
        prefix = f"{folder}/" if folder else ""
        for name in self.listing(folder):
            if name.endswith("/"):
                yield from self.walk(prefix + name[:-1])
            else:
                yield prefix + name

    def rooms(self) -> Iterator[str]:
        """Yield the paths of all files in top-level folders that hold Python code, and of modules at the root."""
        for name in self.listing(""):
            if name.endswith(".py"):
                yield name
            elif name.endswith("/") and _holds_code(self, name[:-1]):
                yield from self.walk(name[:-1])

    def relative(self, path: str) -> str | None:
        """Return an absolute path relative to the root; None if it lies outside the repository."""
        if path not in self._relative:
            self._relative[path] = self._relative_of(path)
        return self._relative[path]

    def _relative_of(self, path: str) -> str | None:
        root = str(self.root)
        if not path.startswith(root + os.sep):
            return "" if path == root else None
        relative = path[len(root) + 1 :].replace(os.sep, "/")
        above = ""
        for part in relative.split("/"):
            above = f"{above}/{part}" if above else part
            if self._is_ignored(part, f"{root}/{above}") or _is_environment(f"{root}/{above}"):
                return None
        return relative

    def is_unseen(self, path: str) -> bool:
        """Return whether an absolute path lies in the repository, in a folder that `.gitignore` names, so no plan reads it."""
        root = str(self.root)
        if not path.startswith(root + os.sep) or self.relative(path) is not None:
            return False
        folder = root
        for part in Path(path[len(root) + 1 :]).parts:
            folder = f"{folder}/{part}"
            if part.startswith(".") or folder in self.exclude or _is_environment(folder):
                return False
        return True

    def _is_ignored(self, name: str, path: str) -> bool:
        return path in self.exclude or self._ignored_name.match(name) is not None

    def _load(self, path: str) -> bytes | None:
        if self._frozen is None or not self.is_frozen(path):
            try:
                return _content(f"{self.root}/{path}") if self.is_file(path) else None
            except OSError:
                return None
        digest = self._frozen.get(path)
        if digest is None:
            return None
        try:
            content = (self._blobs / digest).read_bytes()
        except OSError as error:
            raise SourceMissing(f"{path}: its copy in the snapshot of the source is gone; start the run again") from error
        if hashlib.sha256(content).hexdigest() != digest:
            raise SourceMissing(f"{path}: its copy {self._blobs / digest} is damaged; delete it and start the run again")
        return content

    def _list(self, folder: str) -> Names:
        if self._frozen is not None and folder and self.is_frozen(folder):
            return self._listed.get(folder, ((), ()))
        if self._frozen is not None and not folder:
            return self._list_root()
        if folder not in self._listed:
            self._listed[folder] = self._scan(folder)
        return self._listed[folder]

    def _list_root(self) -> Names:
        """Return the root's entries in the snapshot and on disk now, listed again when the folder has changed."""
        changed = STAT(self.root).st_mtime_ns
        if self._root_names is not None and self._root_names[0] == changed:
            return self._root_names[1]
        (folders, files), (more_folders, more_files) = self._listed.get("", ((), ())), self._scan("")
        rooms = self._rooms or set()
        names = tuple(sorted({*folders, *(set(more_folders) - rooms)})), tuple(sorted({*files, *(set(more_files) - rooms)}))
        # A change in the same tick of the file system's clock would not show in its time.
        if time.time_ns() - changed > SETTLED_NS:
            self._root_names = changed, names
        return names

    def _scan(self, folder: str) -> Names:
        folders, files = [], []
        try:
            entries = list(os.scandir(self.root / folder))
        except OSError:
            return (), ()
        for entry in entries:
            if self._is_ignored(entry.name, entry.path):
                continue
            if not entry.is_dir():
                files.append(entry.name)
            elif not _is_environment(entry.path):
                folders.append(entry.name)
        return tuple(sorted(folders)), tuple(sorted(files))


def _content(path: str) -> bytes:
    with open(path, "rb") as stream:  # noqa: PTH123  # a path object takes as long as the reading, and there are many files
        return stream.read()


def _is_environment(folder: str) -> bool:
    try:
        STAT(f"{folder}/pyvenv.cfg")
    except OSError:
        return False
    return True


def _holds_code(source: Source, folder: str) -> bool:
    names = source.listing(folder)
    return any(name.endswith(".py") or (name.endswith("/") and source.is_file(f"{folder}/{name}__init__.py")) for name in names)


def _ignored(root: Path) -> Iterator[str]:
    """Yield the patterns of `.gitignore` that name files or folders wherever they lie."""
    try:
        lines = (root / ".gitignore").read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        pattern = line.strip().strip("/")
        if pattern and "/" not in pattern and not pattern.startswith(("#", "!")):
            yield pattern


def _with_folders(files: Iterable[str]) -> set[str]:
    return {"/".join(parts[:end]) for path in files if (parts := path.split("/")) for end in range(1, len(parts) + 1)}


def _folders(files: Iterable[str]) -> dict[str, Names]:
    folders: dict[str, set[str]] = {}
    names: dict[str, list[str]] = {}
    for path in files:
        folder, _, name = path.rpartition("/")
        names.setdefault(folder, []).append(name)
        while folder:
            above, _, part = folder.rpartition("/")
            folders.setdefault(above, set()).add(part)
            folder = above
    return {f: (tuple(sorted(folders.get(f, ()))), tuple(sorted(names.get(f, ())))) for f in {*folders, *names}}


def parse(content: bytes | str, name: str) -> ast.Module:
    """Parse a module.

    Python 3.11 counts the parsing depth of all threads as one and may refuse a tree when another thread has parsed meanwhile, with
    SystemError or RecursionError; parsing is tried again.
    """
    for _ in range(20):
        try:
            return ast.parse(content, filename=name)
        except (SystemError, RecursionError):
            time.sleep(0.005)
    return ast.parse(content, filename=name)
