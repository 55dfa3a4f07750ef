"""The store of artifacts: a directory tree on any fsspec filesystem.

An artifact exists if and only if its `artifact.json` does, which appears last and once (`publish`): a reader never sees half an artifact,
and no writer replaces what another has committed. Reuse is verified: sizes always, digests when asked for or when a local file was touched
after its artifact was made. An artifact that fails is moved to `.quarantine/` with the reason, never deleted and never reused. From an
object store, an artifact that is used is copied once into a local cache and checked against its digests. Raises StoreError naming the store
when it can't be reached or written.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import fsspec

from tasks.stage.identity.digests import DigestCache, hash_file, hash_files
from tasks.stage.store.artifact import RECORD, Artifact, ArtifactPart
from tasks.stage.store.index import ADDRESS_DIGITS, Damaged, StoreIndex
from tasks.stage.store.integrity import IntegrityChecker
from tasks.stage.store.publish import Publisher
from tasks.stage.system.atomic_files import move_if_absent, remove, write_atomically
from tasks.stage.system.leases import is_leased, lease_lock, lease_seconds
from tasks.stage.system.locks import LeaseLost, Lock, shared_lock, signed_lock, try_lock
from tasks.stage.system.progress import log

__all__ = ["Damaged", "Store", "StoreError", "open_store", "resolve"]

STORE_LOCK = "store.lock"
DAMAGE_REPORT = "damage.txt"
POLL_SECONDS = 1.0


class StoreError(RuntimeError):
    """The store can't be read or written."""


class Store:
    """A store at `url`: a local path, `file://`, or any fsspec URL. `cache` holds local copies of remote artifacts.

    `digests` caches the hashes of files that look touched; without it they are read each time. `seconds`: how long a lease lasts.
    """

    def __init__(self, url: str, cache: Path, digests: DigestCache | None = None, seconds: float | None = None) -> None:
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
        self.lease_seconds = lease_seconds() if seconds is None else seconds
        self.integrity = IntegrityChecker(self.fs, self.root, self.local_root, digests)

    def __reduce__(self) -> tuple[type[Store], tuple[str, Path, DigestCache | None, float]]:
        """Pickle as the arguments; another process then opens the store itself."""
        return Store, (self.url, self.cache, self._digests, self.lease_seconds)

    def location_of(self, stage: str, label: str, address: str) -> str:
        """Return the readable location of an artifact: the address decides, the label is for people."""
        return f"{stage}/{label}-{address[:ADDRESS_DIGITS]}"

    def find(self, stage: str, address: str, *, digests: bool = False, label: str | None = None) -> Artifact | Damaged | None:
        """Return the artifact at an address if it exists and is intact, `Damaged` if it exists and is not, None if there is none.

        `label`: its probable label; if that is right, nothing needs to be listed.
        """
        for location in self._locations(stage, address, label):
            artifact = self.index.read(location)
            if isinstance(artifact, Damaged):
                return artifact
            if artifact is not None and artifact.address == address:
                problems = self.check(artifact, digests=digests)
                return Damaged(location, problems) if problems else artifact
        return None

    def candidates(self, stage: str, key: str) -> list[Artifact | Damaged]:
        """Return the records of a key, newest first, then those that can't be read; their files are not checked."""
        found = [record for location in self.index.with_key(stage, key) if (record := self.index.read(location)) is not None]
        readable = [record for record in found if isinstance(record, Artifact) and record.key == key]
        return [*sorted(readable, key=lambda a: a.origin.created, reverse=True), *(d for d in found if isinstance(d, Damaged))]

    def check(self, artifact: Artifact, *, digests: bool) -> tuple[str, ...]:
        """Return the problems of an artifact's files, in words; empty when it is intact."""
        return self.integrity.check(artifact, digests=digests)

    def digest_of(self, paths: Iterable[Path]) -> dict[Path, str]:
        """Return the hex sha256 of any local files, cached like the store's own; `unreadable: why` for a file that can't be read."""
        return hash_files(paths) if self._digests is None else self._digests.of(paths)

    def latest(self, stage: str, label: str) -> Artifact | None:
        """Return the newest record of a stage and label, which a plan compares with."""
        return self.index.newest(stage, label)

    def labelled(self, stage: str, label: str) -> list[Artifact]:
        """Return the records of a stage and label, newest first."""
        return sorted(self.index.labelled(stage, label), key=lambda artifact: artifact.origin.created, reverse=True)

    def records(self, stage: str = "") -> Iterator[Artifact]:
        """Yield every readable record of one stage, or of all, in location order."""
        for name in [stage] if stage else self.index.stages():
            yield from self.index.records(self.index.locations(name))

    def get(self, path: str) -> bytes | None:
        """Read a small file that belongs to no artifact; None when there is none."""
        try:
            return bytes(self.fs.cat_file(f"{self.root}/{path}"))
        except FileNotFoundError:
            return None

    def put(self, path: str, content: bytes, what: str = "") -> None:
        """Write a small file outside any artifact, atomically. Raises StoreError naming `what`, or the path."""
        with self._store_errors(what or path):
            if self.local_root is not None:
                target = self.local_root / path
                target.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(target, content)
            else:
                self.fs.pipe_file(f"{self.root}/{path}", content)

    def names(self, folder: str) -> list[str]:
        """List the files directly below a folder of the store, except hidden ones."""
        self.fs.invalidate_cache()
        try:
            paths = self.fs.ls(f"{self.root}/{folder}", detail=False)
        except FileNotFoundError:
            return []
        return sorted(name for name in (str(path).rsplit("/", 1)[-1] for path in paths) if not name.startswith("."))

    def commit(self, made: Path, artifact: Artifact, lock: Lock, instead_of: Artifact | Damaged | None = None) -> Artifact:
        """Move a directory of files into the store; return the artifact at its location, another writer's if that came first.

        `lock`: the right to execute its key. `instead_of`: the record that is replaced, if it is still there. Raises LeaseLost if
        the lock is not held any more; nothing is committed then.
        """
        publisher = Publisher(
            self.fs, self.root, self.local_root, self.index, lambda found: self.check(found, digests=False), self.quarantine
        )
        with self._store_errors(artifact.location):
            try:
                return publisher.publish(made, artifact, lock, instead_of)
            except OSError as error:
                # A successor takes the folder that the files are in, so they may be gone.
                if not lock.seems_held():
                    raise LeaseLost(str(error)) from error
                raise

    def quarantine(self, damaged: Damaged, lock: Lock | None = None) -> str:
        """Move a damaged artifact to quarantine with the reason; return where it is. Raises LeaseLost if a lock is given and lost.

        What another run has committed there in the last moment is moved back on a disk; on an object store, files of others stay.
        """
        quarantined = f".quarantine/{damaged.location.replace('/', '-')}-{uuid.uuid4().hex[:6]}"
        before = self.index.read(damaged.location)
        with self._store_errors(quarantined):
            if lock is not None:
                lock.require(damaged.location)
            self.fs.makedirs(f"{self.root}/.quarantine", exist_ok=True)
            if self.local_root is None:
                self._quarantine_remote(damaged.location, before, quarantined)
            else:
                (self.local_root / damaged.location).rename(self.local_root / quarantined)
                now = self.index.read(quarantined)
                if isinstance(now, Artifact) and not (isinstance(before, Artifact) and now.sealed() == before.sealed()):
                    with suppress(OSError):
                        (self.local_root / quarantined).rename(self.local_root / damaged.location)
                    return damaged.location
            self.fs.pipe_file(f"{self.root}/{quarantined}/{DAMAGE_REPORT}", "\n".join(damaged.problems).encode())
        return quarantined

    def _quarantine_remote(self, location: str, before: Artifact | Damaged | None, quarantined: str) -> None:
        """Move a record and the files that it lists, or an unreadable record alone, whose files nobody knows; the record goes first."""
        self.fs.invalidate_cache()
        below = [str(path)[len(self.root) + len(location) + 2 :] for path in self.fs.find(f"{self.root}/{location}")]
        if isinstance(before, Artifact):
            others = re.compile(rf"(?!{before.folder or '-'}/)[0-9a-f]{{32}}/")
            below = [path for path in below if path == RECORD or not others.match(path)]
        elif before is not None:
            below = [RECORD]
        for path in sorted(below, key=lambda path: path != RECORD):
            self.fs.mv(f"{self.root}/{location}/{path}", f"{self.root}/{quarantined}/{path}")

    def discard(self, path: str) -> None:
        """Delete a file or folder of the store, a record before the files that it lists. Raises StoreError."""
        with self._store_errors(f"the removal of {path}"):
            if self.local_root is not None:
                remove(self.local_root / path, RECORD)
                return
            for old in (f"{self.root}/{path}/{RECORD}", f"{self.root}/{path}"):
                if self.fs.exists(old):
                    self.fs.rm(old, recursive=True)

    def read(self, artifact: Artifact, path: str) -> bytes:
        """Return the content of an artifact's file if it has the digest in the record. Raise StoreError naming the file otherwise."""
        (sha256,) = (file.sha256 for file in artifact.files if file.path == path)
        content = (self.local(artifact) / path).read_bytes()
        if hashlib.sha256(content).hexdigest() != sha256 and self.local_root is None:
            # The copy went bad, not the store.
            shutil.rmtree(self.cache / artifact.digest)
            content = (self.local(artifact) / path).read_bytes()
        if hashlib.sha256(content).hexdigest() != sha256:
            raise StoreError(f"{artifact.location}/{path} in {self.url} does not match its record; run with --verify to make it again.")
        return content

    def verified(self, artifact: Artifact, path: str) -> Path:
        """Return the local path of an artifact's file once it was read. Raise StoreError if it does not have the digest in the record."""
        self.read(artifact, path)
        return self.local(artifact) / path

    def local(self, given: Artifact | ArtifactPart) -> Path:
        """Return a local directory with the files (or the one file, for a part that names a file), downloading them if needed."""
        artifact = given.artifact if isinstance(given, ArtifactPart) else given
        base = self.local_root / artifact.files_at if self.local_root is not None else self._download(artifact)
        return base / given.prefix if isinstance(given, ArtifactPart) else base

    def scratch(self, name: str) -> Path:
        """Create a local directory for work in progress; for a local store it is on the store's disk, so a commit is a rename."""
        path = (self.local_root or self.cache) / ".staging" / name
        with self._store_errors(name):
            path.mkdir(parents=True, exist_ok=True)
        return path

    @contextmanager
    def lock(self, key: str, on_wait: Callable[[str], None]) -> Iterator[Lock]:
        """Hold the right to execute a key; `on_wait` is told who holds it, before waiting."""
        if self.local_root is None:
            with lease_lock(self.fs, f"{self.root}/.locks/{key}", on_wait, self.lease_seconds) as lease:
                yield lease
            return
        with signed_lock(self._lock_file(self.local_root, f"{key}.lock"), on_wait) as lock:
            yield lock

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Hold the store open for a run, which blocks garbage collection; waits for a running collection to end."""

        def report() -> None:
            log(f"the store {self.url} is being cleaned (folio gc); waiting for it to finish")

        if self.local_root is not None:
            with shared_lock(self._lock_file(self.local_root, STORE_LOCK), report):
                yield
            return
        if is_leased(self.fs, self._store_lease):
            report()
        while is_leased(self.fs, self._store_lease):
            time.sleep(POLL_SECONDS)
        yield

    @contextmanager
    def exclusive(self) -> Iterator[Lock]:
        """Hold the store for a collection of garbage. Raises BlockingIOError at once when a run is under way.

        An object store shows runs only by their leases, which the caller must check inside the block. A run that starts later waits,
        because it looks for this lease after it has taken its own.
        """
        if self.local_root is not None:
            with try_lock(self._lock_file(self.local_root, STORE_LOCK)) as lock:
                yield lock
            return
        with lease_lock(self.fs, self._store_lease, lambda who: log(f"waiting for another collection of garbage: {who}")) as lease:
            yield lease

    def _lock_file(self, root: Path, name: str) -> Path:
        path = root / ".locks" / name
        with self._store_errors(name):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return path

    @property
    def _store_lease(self) -> str:
        return f"{self.root}/.locks/{STORE_LOCK}"

    @contextmanager
    def _store_errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            message = f"store: {self.url} can't write {what} ({error}). Free space or make it writable; nothing was committed."
            raise StoreError(message) from error

    def _locations(self, stage: str, address: str, label: str | None) -> Iterator[str]:
        likely = self.location_of(stage, label, address) if label is not None else None
        if likely is not None:
            yield likely
        digits = address[:ADDRESS_DIGITS]
        named = (location for location in self.index.with_key(stage, address) if digits.startswith(location.rpartition("-")[2]))
        yield from (location for location in named if location != likely)

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
                self.fs.get_file(f"{self.root}/{artifact.files_at}/{file.path}", str(target))
                if hash_file(target) != file.sha256:
                    raise StoreError(
                        f"{artifact.location}/{file.path} in {self.url} does not match its record; run with --verify to make it again."
                    )
            move_if_absent(partial, final)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return final


def resolve(url: str, root: Path) -> str:
    """Resolve a store or database given by a path against the recipe's root; return a URL unchanged."""
    if url.startswith("sqlite:///") and not url.startswith("sqlite:////"):
        return f"sqlite:///{(root / url.removeprefix('sqlite:///')).resolve()}"
    return url if "://" in url else str((root / url).resolve())


def open_store(url: str, root: Path, home: Path) -> Store:
    """Open the store at a URL, or at a path relative to `root`; remote artifacts are cached in `home`."""
    return Store(resolve(url, root), home / "cache" / "artifacts", DigestCache(home / "cache" / "digests.db"))
