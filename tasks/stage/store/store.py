"""Where artifacts live: a directory tree on any fsspec filesystem, read and written by one protocol.

Guarantees: an artifact exists if and only if its `artifact.json` does, and that is written last; a reader never sees half of one.
Reuse is verified: sizes always, digests when asked or when a local file was touched after its artifact was made. What fails is
moved to `.quarantine/` with its reason, never deleted and never reused. On an object store a used artifact is copied once into a local
cache, checked against its digests. Raises StoreError when the store can't be reached or written, naming the place.
"""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec

from tasks.stage.identity.digests import DigestCache, hash_file, hash_files
from tasks.stage.store.artifact import RECORD, Artifact, ArtifactPart
from tasks.stage.store.index import KEY_LENGTH, Damaged, StoreIndex
from tasks.stage.store.integrity import IntegrityChecker
from tasks.stage.system.atomic_files import fsync_tree, move_if_absent, remove, replace_directory, write_atomically
from tasks.stage.system.locks import is_leased, lease_lock, local_lock, shared_lock, try_lock
from tasks.stage.system.progress import log

__all__ = ["Damaged", "Store", "StoreError"]

STORE_LOCK = "store.lock"
DAMAGE_REPORT = "damage.txt"
POLL_SECONDS = 1.0


class StoreError(RuntimeError):
    """The store can't be read or written."""


class Store:
    """A store at `url`: a local path, `file://`, or any fsspec URL; `cache` holds local copies of remote artifacts.

    `digests` remembers what was read of files that look touched; without it they are read each time.
    """

    def __init__(self, url: str, cache: Path, digests: DigestCache | None = None) -> None:
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
        self.index = StoreIndex(self.fs, self.root, self.local_root)
        self._digests = digests
        self.integrity = IntegrityChecker(self.fs, self.root, self.local_root, digests)

    def __reduce__(self) -> tuple[type[Store], tuple[str, Path, DigestCache | None]]:
        """Another process opens the same place by itself."""
        return Store, (self.url, self.cache, self._digests)

    def location_of(self, stage: str, label: str, key: str) -> str:
        """Readable location of an artifact: the key decides, the label is for people."""
        return f"{stage}/{label}-{key[:KEY_LENGTH]}"

    def find(self, stage: str, key: str, *, digests: bool = False, label: str | None = None) -> Artifact | Damaged | None:
        """The artifact of a key if it exists and holds; `Damaged` if it exists and doesn't; None if there is none.

        `label`: the one it probably has; where that is right nothing is listed.
        """
        for location in self._candidates(stage, key, label):
            artifact = self.index.read(location)
            if isinstance(artifact, Damaged):
                return artifact
            if artifact is not None and artifact.key == key:
                problems = self.check(artifact, digests=digests)
                return Damaged(location, problems) if problems else artifact
        return None

    def check(self, artifact: Artifact, *, digests: bool) -> tuple[str, ...]:
        """What is wrong with an artifact's files, in words; empty when nothing is."""
        return self.integrity.check(artifact, digests=digests)

    def digest_of(self, paths: Iterable[Path]) -> dict[Path, str]:
        """Hex sha256 of any files on this machine, remembered like the store's own; `unreadable: why` where one can't be read."""
        return hash_files(paths) if self._digests is None else self._digests.of(paths)

    def latest(self, stage: str, label: str) -> Artifact | None:
        """The newest record of a stage at this label: what a plan compares with."""
        return self.index.newest(stage, label)

    def records(self, stage: str = "") -> Iterator[Artifact]:
        """Every readable record, of one stage or of all, in location order."""
        for name in [stage] if stage else self.index.stages():
            yield from self.index.records(self.index.locations(name))

    def get(self, path: str) -> bytes | None:
        """A small file of the store that belongs to no artifact; None when there is none."""
        try:
            return bytes(self.fs.cat_file(f"{self.root}/{path}"))
        except FileNotFoundError:
            return None

    def put(self, path: str, content: bytes, what: str = "") -> None:
        """Write a small file that belongs to no artifact, whole or not at all. Raises StoreError naming `what`, or the path."""
        with self._writing(what or path):
            if self.local_root is not None:
                target = self.local_root / path
                target.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(target, content)
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
                fsync_tree(made)
                replace_directory(made, Path(target))
                write_atomically(Path(target) / RECORD, record)
            else:
                self.discard(artifact.location)
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
            self.fs.pipe_file(f"{self.root}/{aside}/{DAMAGE_REPORT}", "\n".join(damaged.problems).encode())
        return aside

    def discard(self, path: str) -> None:
        """Delete a file or folder of the store, a record before the files it tells of. Raises StoreError."""
        with self._writing(f"the removal of {path}"):
            if self.local_root is not None:
                remove(self.local_root / path, RECORD)
                return
            for old in (f"{self.root}/{path}/{RECORD}", f"{self.root}/{path}"):
                if self.fs.exists(old):
                    self.fs.rm(old, recursive=True)

    def local(self, given: Artifact | ArtifactPart) -> Path:
        """A directory (or the one file, for a part that names a file) on this machine that holds the files."""
        artifact = given.artifact if isinstance(given, ArtifactPart) else given
        base = self.local_root / artifact.location if self.local_root is not None else self._download(artifact)
        return base / given.prefix if isinstance(given, ArtifactPart) else base

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
        with local_lock(self._lock_file(self.local_root, f"{key}.lock"), on_wait):
            yield

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """What a run holds all the while it uses the store, so that nothing is collected under it; it waits for a collection to end."""

        def told() -> None:
            log(f"the store {self.url} is being collected (folio gc); waiting for that to end")

        if self.local_root is not None:
            with shared_lock(self._lock_file(self.local_root, STORE_LOCK), told):
                yield
            return
        if is_leased(self.fs, self._whole_lease):
            told()
        while is_leased(self.fs, self._whole_lease):
            time.sleep(POLL_SECONDS)
        yield

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """What a collection holds. Raises BlockingIOError at once when a run is under way.

        In an object store runs are told by their leases alone, which the caller has to look at inside the block: a run that begins
        later waits, because it looks for this lease after it has taken its own.
        """
        if self.local_root is not None:
            with try_lock(self._lock_file(self.local_root, STORE_LOCK)):
                yield
            return
        with lease_lock(self.fs, self._whole_lease, lambda: None):
            yield

    def _lock_file(self, root: Path, name: str) -> Path:
        path = root / ".locks" / name
        with self._writing(name):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return path

    @property
    def _whole_lease(self) -> str:
        return f"{self.root}/.locks/{STORE_LOCK}.json"

    @contextmanager
    def _writing(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            message = f"store: {self.url} can't take {what} ({error}). Free space or make it writable; nothing was committed."
            raise StoreError(message) from error

    def _candidates(self, stage: str, key: str, label: str | None) -> Iterator[str]:
        likely = self.location_of(stage, label, key) if label is not None else None
        if likely is not None:
            yield likely
        yield from (location for location in self.index.with_key(stage, key) if location != likely)

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
            move_if_absent(partial, final)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return final
