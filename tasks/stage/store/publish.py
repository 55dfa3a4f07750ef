"""Commit an artifact's files and record so that the first complete one stays, whoever else commits to the same address.

On a disk the record is written beside the files in the writer's own folder, and that folder is renamed to the artifact's location: a rename
does not replace a folder that holds something, so files and record appear at once or not at all. On an object store the files go below a
folder named after the writer's token, which the record names, and the record is created only if there is none. So a writer whose lock was
lost between its last look and its last write can neither mix its files with its successor's nor replace them: it finds the successor's
record, or the successor finds its whole artifact. What a writer leaves behind on the way is garbage that `folio gc` knows.
"""

from __future__ import annotations

import errno
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import fsspec

from tasks.stage.store.artifact import RECORD, Artifact
from tasks.stage.store.index import Damaged, OtherFormat, StoreIndex, parse_record
from tasks.stage.system.atomic_files import fsync_path, fsync_tree, remove, share_tree, write_atomically
from tasks.stage.system.exclusive_files import create_file, read_file, replace_file
from tasks.stage.system.locks import Lock

TAKEN = (errno.ENOTEMPTY, errno.EEXIST)
ATTEMPTS = 5


class Publisher:
    """Commits to the store at `root`. `check`: returns what is wrong with an artifact's files; `quarantine`: moves a damaged one away."""

    def __init__(
        self,
        fs: fsspec.AbstractFileSystem,
        root: str,
        local_root: Path | None,
        index: StoreIndex,
        check: Callable[[Artifact], tuple[str, ...]],
        quarantine: Callable[[Damaged, Lock], object],
    ) -> None:
        self._fs, self._root, self._local_root, self._index = fs, root, local_root, index
        self._check, self._quarantine = check, quarantine

    def publish(self, made: Path, artifact: Artifact, lock: Lock, instead_of: Artifact | Damaged | None) -> Artifact:
        """Commit the files of `made`; return the artifact that is at its location then. Raises LeaseLost and OSError."""
        if self._local_root is None:
            return self._publish_remote(made, artifact.model_copy(update={"folder": lock.token}), lock, instead_of)
        return self._publish_local(self._local_root, made, artifact, lock, instead_of)

    def _publish_local(self, root: Path, made: Path, artifact: Artifact, lock: Lock, instead_of: Artifact | Damaged | None) -> Artifact:
        target = root / artifact.location
        target.parent.mkdir(parents=True, exist_ok=True)
        # All bytes reach the disk before their name, or a power cut could leave a record of lost bytes.
        share_tree(made)
        write_atomically(made / RECORD, artifact.sealed())
        fsync_tree(made)
        for _ in range(ATTEMPTS):
            lock.require(artifact.location)
            try:
                made.rename(target)
            except OSError as error:
                if error.errno not in TAKEN:
                    raise
            else:
                fsync_path(target.parent)
                return artifact
            if (found := self._committed(artifact, lock, instead_of)) is not None:
                return found
            lock.require(artifact.location)
            _move_aside(target, instead_of)
        raise FileExistsError(errno.EEXIST, f"{artifact.location} is written by others all the time")

    def _publish_remote(self, made: Path, artifact: Artifact, lock: Lock, instead_of: Artifact | Damaged | None) -> Artifact:
        record, published = f"{self._root}/{artifact.location}/{RECORD}", False
        if (found := self._committed(artifact, lock, instead_of)) is not None:
            return found
        try:
            for file in artifact.files:
                self._fs.put_file(str(made / file.path), f"{self._root}/{artifact.files_at}/{file.path}")
            for _ in range(ATTEMPTS):
                lock.require(artifact.location)
                before = read_file(self._fs, record) if instead_of is not None else None
                if before is None:
                    published = create_file(self._fs, record, artifact.sealed())
                elif _is_record_of(before, instead_of):
                    published = replace_file(self._fs, record, before, artifact.sealed())
                if published:
                    return artifact
                if (found := self._committed(artifact, lock, instead_of)) is not None:
                    return found
            raise FileExistsError(errno.EEXIST, f"{artifact.location} is written by others all the time")
        finally:
            if not published:
                # What can't be deleted now is garbage.
                with suppress(OSError):
                    self._fs.rm(f"{self._root}/{artifact.files_at}", recursive=True)

    def _committed(self, artifact: Artifact, lock: Lock, instead_of: Artifact | Damaged | None) -> Artifact | None:
        """Return the intact artifact that is at the location already, except the one to be replaced; a damaged one is quarantined."""
        found = self._index.read(artifact.location)
        if found is None or (isinstance(found, OtherFormat) and found == instead_of):
            return None
        if isinstance(found, Artifact) and _is_record_of(found.sealed(), instead_of):
            return None
        problems = found.problems if isinstance(found, Damaged) else self._check(found)
        if isinstance(found, Artifact) and not problems:
            return found
        self._quarantine(Damaged(artifact.location, problems), lock)
        return None


def _move_aside(target: Path, instead_of: Artifact | Damaged | None) -> None:
    """Move what is in the way aside, under a name that garbage collection knows; put back a whole artifact that isn't the expected one."""
    aside = target.with_name(f".{target.name}-{uuid.uuid4().hex[:6]}")
    with suppress(FileNotFoundError):
        target.rename(aside)
        found = (aside / RECORD).read_bytes() if (aside / RECORD).exists() else None
        if found is None:
            remove(aside, RECORD)
        elif not _is_record_of(found, instead_of):
            # A commit came in between the look and the move. If yet another one is there by now, that one stays.
            with suppress(OSError):
                aside.rename(target)


def _is_record_of(content: bytes, artifact: Artifact | Damaged | None) -> bool:
    """Return whether a record is an artifact's. Not compared as objects, since a metric that is no number equals nothing, nor as bytes,
    since a record of an earlier version lacks fields."""
    if not isinstance(artifact, Artifact):
        return isinstance(artifact, OtherFormat) and parse_record(artifact.location, content) == artifact
    try:
        return Artifact.unsealed(content).sealed() == artifact.sealed()
    except ValueError:
        return False
