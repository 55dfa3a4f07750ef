"""Where artifacts live: a directory tree on any fsspec filesystem, read and written by one protocol.

Guarantees: an artifact exists if and only if its `artifact.json` does, and that is written last; a reader never sees half of one.
Reuse is verified: sizes always, digests when asked or when a local file was modified after its record was written. What fails is
moved to `.quarantine/` with its reason, never deleted and never reused. On an object store a used artifact is copied once into a local
cache, checked against its digests. Raises StoreError when the store can't be reached or written, naming the place.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import fsspec
from pydantic import ValidationError

from tasks.stage.artifact import RECORD, Artifact, Part, hash_file
from tasks.stage.locks import lease_lock, local_lock

SHORT = 8


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
            raise StoreError(f"store: {url!r} can't be opened ({error}). Use a path or an fsspec URL whose package is installed.") from error
        self.root = root.rstrip("/")
        protocol = self.fs.protocol if isinstance(self.fs.protocol, str) else self.fs.protocol[0]
        self.local_root = Path(self.root) if protocol in ("file", "local") else None

    def place(self, stage: str, label: str, key: str) -> str:
        """Readable location of an artifact: the key decides, the label is for people."""
        return f"{stage}/{label}-{key[:SHORT]}"

    def find(self, stage: str, key: str, *, digests: bool = False) -> Artifact | Damaged | None:
        """The artifact of a key if it exists and holds; `Damaged` if it exists and doesn't; None if there is none."""
        for path in sorted(self.fs.glob(f"{self.root}/{stage}/*-{key[:SHORT]}/{RECORD}")):
            location = path[: -len(RECORD) - 1][len(self.root) + 1 :]
            artifact = self._read(path)
            if artifact is None:
                return Damaged(location, (f"{RECORD} can't be read",))
            if artifact.key == key:
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
        found = [self._read(p) for p in self.fs.glob(f"{self.root}/{stage}/{label}-{'?' * SHORT}/{RECORD}")]
        return max((a for a in found if a is not None), key=lambda a: a.origin.created, default=None)

    def records(self) -> Iterator[Artifact]:
        """Every readable record, in location order."""
        for path in sorted(self.fs.glob(f"{self.root}/*/*/{RECORD}")):
            artifact = self._read(path)
            if artifact is not None:
                yield artifact

    def commit(self, made: Path, artifact: Artifact) -> Artifact:
        """Move a directory of files into the store, record last."""
        target = f"{self.root}/{artifact.location}"
        record = artifact.model_dump_json(indent=1).encode()
        try:
            if self.local_root is not None:
                final = Path(target)
                if final.exists():
                    shutil.rmtree(final)
                final.parent.mkdir(parents=True, exist_ok=True)
                os.replace(made, final)
                _write_last(final / RECORD, record)
            else:
                for file in artifact.files:
                    self.fs.put_file(str(made / file.path), f"{target}/{file.path}")
                self.fs.pipe_file(f"{target}/{RECORD}", record)
        except OSError as error:
            raise StoreError(f"store: {self.url} can't take {artifact.location} ({error}). Free space or make it writable; nothing was committed.") from error
        return artifact

    def quarantine(self, damaged: Damaged) -> str:
        """Put a damaged artifact aside; returns where."""
        aside = f".quarantine/{damaged.location.replace('/', '-')}-{uuid.uuid4().hex[:6]}"
        self.fs.makedirs(f"{self.root}/.quarantine", exist_ok=True)
        self.fs.mv(f"{self.root}/{damaged.location}", f"{self.root}/{aside}", recursive=True)
        return aside

    def local(self, given: Artifact | Part) -> Path:
        """A directory (or the one file, for a part that names a file) on this machine that holds the files."""
        artifact = given.artifact if isinstance(given, Part) else given
        base = self.local_root / artifact.location if self.local_root is not None else self._download(artifact)
        return base / given.prefix if isinstance(given, Part) else base

    def scratch(self, name: str) -> Path:
        """A local directory for work in progress; on a local store it lies on the store's own disk, so that a commit is a rename."""
        path = (self.local_root or self.cache) / ".staging" / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def lock(self, key: str, on_wait: Callable[[], None]) -> AbstractContextManager[None]:
        """The right to execute a key."""
        if self.local_root is not None:
            return local_lock(self.local_root / ".locks" / f"{key}.lock", on_wait)
        return lease_lock(self.fs, f"{self.root}/.locks/{key}.json", on_wait)

    def _read(self, path: str) -> Artifact | None:
        try:
            return Artifact.model_validate_json(self.fs.cat_file(path))
        except (ValidationError, FileNotFoundError, NotADirectoryError):
            return None

    def _touched(self, artifact: Artifact, path: str) -> bool:
        if self.local_root is None:
            return False
        record = self.local_root / artifact.location / RECORD
        return os.stat(path).st_mtime_ns > record.stat().st_mtime_ns

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
        for file in artifact.files:
            target = partial / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            self.fs.get_file(f"{self.root}/{artifact.location}/{file.path}", str(target))
            if hash_file(target) != file.sha256:
                raise StoreError(f"{artifact.location}/{file.path} in {self.url} has other content than its record says; run with --verify to make it again.")
        os.replace(partial, final)
        return final


def _write_last(path: Path, content: bytes) -> None:
    partial = path.with_suffix(".partial")
    with partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(partial, path)
