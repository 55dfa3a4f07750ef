"""The repository's files as of one moment: as they lie on disk now, or frozen when a run opened.

Paths are relative to the root, with `/`. Only what a version control system would track counts: no hidden folder, no environment, no
`__pycache__`, no folder named in `exclude` (the store, folio's home). A top-level folder counts if it holds Python code, a file beside them
if it is small.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
LARGEST_AT_ROOT = 1 << 20
SKIPPED = frozenset({"__pycache__", "node_modules", "build", "dist"})


class SourceMissing(RuntimeError):
    """A snapshot that a process was told to read is not there, or not whole."""


class Source:
    """Files by path. Each is read at most once, so every question is answered from the same bytes."""

    def __init__(self, root: Path, files: dict[str, str] | None = None, blobs: Path | None = None, exclude: Iterable[Path] = ()) -> None:
        """Use `of`, `snapshot` or `opened`. `files`: digests by path, kept below `blobs`."""
        self.root = root
        self.manifest: Path | None = None
        self._given, self._blobs = files, blobs
        self._exclude = frozenset(str(path) for path in exclude)
        self._read: dict[str, bytes | None] = {}
        self._digests: dict[str, str] = {}
        self._listed: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {}
        self._trees: dict[str, ast.Module] = {}

    @classmethod
    def of(cls, root: Path = ROOT, *, exclude: Iterable[Path] = ()) -> Source:
        """Return the files as they lie on disk; each is read when it is first asked for."""
        return cls(root.resolve(), exclude=exclude)

    @classmethod
    def snapshot(cls, root: Path, folder: Path, *, exclude: Iterable[Path] = ()) -> Source:
        """Freeze all files of the repository into a content-addressed folder; `manifest` is the file that `opened` reads."""
        live = cls.of(root, exclude=exclude)
        blobs = folder / "files"
        blobs.mkdir(parents=True, exist_ok=True)
        files: dict[str, str] = {}
        for path in live.walk():
            content = live.text(path)
            if content is None:
                continue  # an editor's temporary file that vanished meanwhile
            files[path] = digest = live.digest_of(path)
            if not (blobs / digest).exists():
                write_whole(blobs / digest, content)
        text = json.dumps({"root": str(live.root), "files": files}, sort_keys=True).encode()
        manifest = folder / f"{hashlib.sha256(text).hexdigest()}.json"
        if not manifest.exists():
            write_whole(manifest, text)
        return cls.opened(manifest)

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
        source = cls(Path(found["root"]), files=found["files"], blobs=manifest.parent / "files")
        source.manifest = manifest
        return source

    def text(self, path: str) -> bytes | None:
        """Return the bytes of a file, or None if there is no such file of the repository."""
        if path not in self._read:
            self._read[path] = self._load(path)
        return self._read[path]

    def digest_of(self, path: str) -> str:
        """Return the hex sha256 of a file, "" if there is none."""
        if self._given is not None:
            return self._given.get(path, "")
        if path not in self._digests:
            content = self.text(path)
            self._digests[path] = "" if content is None else hashlib.sha256(content).hexdigest()
        return self._digests[path]

    def tree(self, path: str) -> ast.Module:
        """Return a file as a syntax tree. Raises SyntaxError or ValueError as Python's import would."""
        if path not in self._trees:
            self._trees[path] = parse(self.text(path) or b"", path)
        return self._trees[path]

    def exists(self, path: str) -> bool:
        """Return whether there is such a file or folder of the repository."""
        return self.is_file(path) or self.is_folder(path)

    def is_file(self, path: str) -> bool:
        """Return whether there is such a file of the repository."""
        folder, _, name = path.rpartition("/")
        return name in self._list(folder)[1]

    def is_folder(self, path: str) -> bool:
        """Return whether there is such a folder of the repository; the root is "" or "."."""
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

    def relative(self, path: str) -> str | None:
        """Return an absolute path relative to the root, or None if it is not one that the repository could hold."""
        root = str(self.root)
        if path == root:
            return ""
        if not path.startswith(root + os.sep):
            return None
        relative = path[len(root) + 1 :].replace(os.sep, "/")
        above, parts = "", relative.split("/")
        for number, part in enumerate(parts):
            above = f"{above}/{part}" if above else part
            if _skipped(part, number == 0) or str(self.root / above) in self._exclude:
                return None
            if number == 0 and len(parts) > 1 and not self.is_folder(part):
                return None
        return relative

    def _load(self, path: str) -> bytes | None:
        if self._given is None:
            try:
                return (self.root / path).read_bytes() if self.is_file(path) else None
            except OSError:
                return None
        digest = self._given.get(path)
        if digest is None or self._blobs is None:
            return None
        try:
            content = (self._blobs / digest).read_bytes()
        except OSError as error:
            raise SourceMissing(f"{path}: its copy in the snapshot of the source is gone; start the run again") from error
        if hashlib.sha256(content).hexdigest() != digest:
            raise SourceMissing(f"{path}: its copy {self._blobs / digest} is damaged; delete it and start the run again")
        return content

    def _list(self, folder: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        if folder not in self._listed:
            if self._given is not None and not self._listed:
                self._listed = _folders(self._given)
            self._listed[folder] = self._listed.get(folder, ((), ())) if self._given is not None else self._scan(folder)
        return self._listed[folder]

    def _scan(self, folder: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        if folder and not self.is_folder(folder):
            return (), ()
        folders, files = [], []
        try:
            entries = list(os.scandir(self.root / folder))
        except OSError:
            return (), ()
        for entry in entries:
            if _skipped(entry.name, not folder):
                continue
            if not entry.is_dir():
                if folder or (entry.is_file() and entry.stat().st_size <= LARGEST_AT_ROOT):
                    files.append(entry.name)
            elif entry.path not in self._exclude and (folder or _holds_code(entry.path)):
                folders.append(entry.name)
        return tuple(sorted(folders)), tuple(sorted(files))


def _skipped(name: str, at_root: bool) -> bool:
    """Return whether a name is of what no version control system would track: caches, environments, an editor's copies."""
    hidden = name.startswith(".") and (at_root or name.endswith(("cache", "checkpoints", ".swp", ".DS_Store")) or name.startswith(".#"))
    return hidden or name in SKIPPED or name.endswith((".pyc", "~", ".egg-info"))


def _holds_code(folder: str) -> bool:
    """Return whether a top-level folder is Python code, and not a pile of documents or an environment."""
    if os.path.exists(os.path.join(folder, "pyvenv.cfg")):  # noqa: PTH110, PTH118
        return False
    with os.scandir(folder) as entries:
        found = list(entries)
    inner = (e for e in found if e.is_dir() and not e.name.startswith("."))
    return any(e.name.endswith(".py") for e in found) or any(os.path.exists(os.path.join(e.path, "__init__.py")) for e in inner)  # noqa: PTH110, PTH118


def _folders(files: Iterable[str]) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
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


def write_whole(path: Path, content: bytes) -> None:
    """Write a file of a cache so that readers see it whole or not at all."""
    partial = path.with_name(f".{path.name}-{os.getpid()}-{time.monotonic_ns():x}")
    partial.write_bytes(content)
    partial.replace(path)
