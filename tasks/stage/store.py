"""Where artifacts live: a directory tree on any fsspec filesystem, read and written by one protocol.

Guarantees: an artifact exists if and only if its `artifact.json` does, and that is written last; a reader never sees half of one.
Reuse is verified: sizes always, digests when asked or when a local file was modified after its record was written. What fails is
moved to `.quarantine/` with its reason, never deleted and never reused. On an object store a used artifact is copied once into a local
cache, checked against its digests. Raises StoreError when the store can't be reached or written, naming the place.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import fsspec
from pydantic import ValidationError

from tasks.stage.artifact import RECORD, Artifact, Part
from tasks.stage.digests import hash_file
from tasks.stage.disk import place_directory, replace_directory, write_whole
from tasks.stage.locks import lease_lock, local_lock

SHORT = 8
REASON = "damage.txt"


class StoreError(RuntimeError):
    """The store can't be read or written."""


@dataclass(frozen=True)
class Damaged:
    """An artifact whose record and files disagree."""

    location: str
    problems: tuple[str, ...]


class Store:
    """A store at `url`: a local path, `file://`, or any fsspec URL; `cache` holds local copies of remote artifacts."""

    def __init__(self, url: str, cache: Path) -> None:
        self.url = url
        self.cache = cache
        try:
            self.fs, root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            message = f"store: {url!r} can't be opened ({error}). Use a path or an fsspec URL whose package is installed."
            raise StoreError(message) from error
        self.root = root.rstrip("/")
        protocol = self.fs.protocol if isinstance(self.fs.protocol, str) else self.fs.protocol[0]
        self.local_root = Path(self.root) if protocol in ("file", "local") else None

    def place(self, stage: str, label: str, key: str) -> str:
        """Readable location of an artifact: the key decides, the label is for people."""
        return f"{stage}/{label}-{key[:SHORT]}"

    def find(self, stage: str, key: str, *, digests: bool = False) -> Artifact | Damaged | None:
        """The artifact of a key if it exists and holds; `Damaged` if it exists and doesn't; None if there is none."""
        for location in self._locations(stage):
            if not location.endswith(f"-{key[:SHORT]}"):
                continue
            artifact = self._read(location)
            if isinstance(artifact, Damaged):
                return artifact
            if artifact is not None and artifact.key == key:
                problems = self.check(artifact, digests=digests)
                return Damaged(location, problems) if problems else artifact
        return None

    def check(self, artifact: Artifact, *, digests: bool) -> tuple[str, ...]:
        """What is wrong with an artifact's files, in words; empty when nothing is."""
        problems = []
        for file in artifact.files:
            path = f"{self.root}/{artifact.location}/{file.path}"
            try:
                size = int(self.fs.size(path))
            except FileNotFoundError:
                problems.append(f"{file.path} is missing")
                continue
            if size != file.size:
                problems.append(f"{file.path} has {size} bytes instead of {file.size}")
            elif (digests or self._touched(artifact, path)) and self._sha256(path) != file.sha256:
                problems.append(f"{file.path} has other content than its record says")
        return tuple(problems)

    def latest(self, stage: str, label: str) -> Artifact | None:
        """The newest record of a stage at this label: what a plan compares with."""
        named = (location for location in self._locations(stage) if location[: -SHORT - 1] == f"{stage}/{label}")
        return max(self._readable(named), key=lambda a: a.origin.created, default=None)

    def records(self, stage: str = "") -> Iterator[Artifact]:
        """Every readable record, of one stage or of all, in location order."""
        for name in [stage] if stage else self._folders(""):
            yield from self._readable(self._locations(name))

    def get(self, path: str) -> bytes | None:
        """A small file of the store that belongs to no artifact; None when there is none."""
        try:
            return bytes(self.fs.cat_file(f"{self.root}/{path}"))
        except FileNotFoundError:
            return None

    def put(self, path: str, content: bytes) -> None:
        """Write a small file that belongs to no artifact, whole or not at all."""
        with self._writing(path):
            if self.local_root is not None:
                target = self.local_root / path
                target.parent.mkdir(parents=True, exist_ok=True)
                write_whole(target, content)
            else:
                self.fs.pipe_file(f"{self.root}/{path}", content)

    def names(self, folder: str) -> list[str]:
        """The files right below a folder of the store that are no hidden ones."""
        self.fs.invalidate_cache()
        try:
            paths = self.fs.ls(f"{self.root}/{folder}", detail=False)
        except FileNotFoundError:
            return []
        return sorted(name for name in (str(path).rsplit("/", 1)[-1] for path in paths) if not name.startswith("."))

    def commit(self, made: Path, artifact: Artifact) -> Artifact:
        """Move a directory of files into the store, record last; what was at its place goes first, record first."""
        target = f"{self.root}/{artifact.location}"
        record = artifact.model_dump_json(indent=1).encode()
        with self._writing(artifact.location):
            if self.local_root is not None:
                replace_directory(made, Path(target))
                write_whole(Path(target) / RECORD, record)
            else:
                for old in (f"{target}/{RECORD}", target):
                    if self.fs.exists(old):
                        self.fs.rm(old, recursive=True)
                for file in artifact.files:
                    self.fs.put_file(str(made / file.path), f"{target}/{file.path}")
                self.fs.pipe_file(f"{target}/{RECORD}", record)
        return artifact

    def quarantine(self, damaged: Damaged) -> str:
        """Put a damaged artifact aside with the reason; returns where."""
        aside = f".quarantine/{damaged.location.replace('/', '-')}-{uuid.uuid4().hex[:6]}"
        with self._writing(aside):
            self.fs.makedirs(f"{self.root}/.quarantine", exist_ok=True)
            self.fs.mv(f"{self.root}/{damaged.location}", f"{self.root}/{aside}", recursive=True)
            self.fs.pipe_file(f"{self.root}/{aside}/{REASON}", "\n".join(damaged.problems).encode())
        return aside

    def local(self, given: Artifact | Part) -> Path:
        """A directory (or the one file, for a part that names a file) on this machine that holds the files."""
        artifact = given.artifact if isinstance(given, Part) else given
        base = self.local_root / artifact.location if self.local_root is not None else self._download(artifact)
        return base / given.prefix if isinstance(given, Part) else base

    def scratch(self, name: str) -> Path:
        """A local directory for work in progress; on a local store it lies on the store's own disk, so that a commit is a rename."""
        path = (self.local_root or self.cache) / ".staging" / name
        with self._writing(name):
            path.mkdir(parents=True, exist_ok=True)
        return path

    @contextmanager
    def lock(self, key: str, on_wait: Callable[[], None]) -> Iterator[None]:
        """The right to execute a key."""
        if self.local_root is None:
            with lease_lock(self.fs, f"{self.root}/.locks/{key}.json", on_wait):
                yield
            return
        path = self.local_root / ".locks" / f"{key}.lock"
        with self._writing(path.name):
            path.parent.mkdir(parents=True, exist_ok=True)
        with local_lock(path, on_wait):
            yield

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """While a run is open: nothing is collected."""
        yield

    @contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            message = f"store: {self.url} can't take {what} ({error}). Free space or make it writable; nothing was committed."
            raise StoreError(message) from error

    def _folders(self, below: str) -> list[str]:
        """Names of the folders below a path of the store; hidden ones hold what is no artifact."""
        try:
            listing = self.fs.ls(f"{self.root}/{below}".rstrip("/"), detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        names = (entry["name"].rstrip("/").rsplit("/", 1)[-1] for entry in listing if entry["type"] == "directory")
        return sorted(name for name in names if not name.startswith("."))

    def _locations(self, stage: str) -> list[str]:
        # Another machine may have written since this process last looked.
        self.fs.invalidate_cache()
        return [f"{stage}/{name}" for name in self._folders(stage)]

    def _readable(self, locations: Iterable[str]) -> Iterator[Artifact]:
        for location in locations:
            artifact = self._read(location)
            if isinstance(artifact, Artifact):
                yield artifact

    def _read(self, location: str) -> Artifact | Damaged | None:
        try:
            return Artifact.model_validate_json(self.fs.cat_file(f"{self.root}/{location}/{RECORD}"))
        except FileNotFoundError:
            return None
        except (ValidationError, OSError) as error:
            return Damaged(location, (f"{RECORD} can't be read ({type(error).__name__})",))

    def _touched(self, artifact: Artifact, path: str) -> bool:
        if self.local_root is None:
            return False
        record = self.local_root / artifact.location / RECORD
        return Path(path).stat().st_mtime_ns > record.stat().st_mtime_ns

    def _sha256(self, path: str) -> str:
        if self.local_root is not None:
            return hash_file(Path(path))
        copy = self.cache / ".checking" / uuid.uuid4().hex
        copy.parent.mkdir(parents=True, exist_ok=True)
        self.fs.get_file(path, str(copy))
        digest = hash_file(copy)
        copy.unlink()
        return digest

    def _download(self, artifact: Artifact) -> Path:
        final = self.cache / artifact.digest
        if final.is_dir():
            return final
        partial = self.cache / f".{artifact.digest}-{uuid.uuid4().hex[:6]}"
        partial.mkdir(parents=True)
        try:
            for file in artifact.files:
                target = partial / file.path
                target.parent.mkdir(parents=True, exist_ok=True)
                self.fs.get_file(f"{self.root}/{artifact.location}/{file.path}", str(target))
                if hash_file(target) != file.sha256:
                    raise StoreError(
                        f"{artifact.location}/{file.path} in {self.url} has other content than its record says; "
                        "run with --verify to make it again."
                    )
            place_directory(partial, final)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return final
