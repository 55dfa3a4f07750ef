"""Check whether the files of an artifact match its record.

Existence and size are always checked, and a file that the record does not list is damage, since something could read it. On a disk
content is checked too, but read only if needed: a file is trusted unread if both its modification and its change time are older than its
artifact and the artifact's record. A file that was edited and had its modification time set back is read, since its change time is newer.
So is every file of a store that was copied here, once: the hashes are cached in `DigestCache`. A cached digest never condemns a file; the
file is read again first.
With `digests` every file is read, whatever is cached. On an object store sizes are trusted unless digests are asked for.
Only the folder that the record names is looked at; on an object store others beside it are what late writers left, and nobody reads them.
The cost is one `stat` a file and one listing a folder, or one listing an artifact on an object store.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import fsspec

from tasks.stage.identity.digests import UNREADABLE, DigestCache, hash_files, read_digests
from tasks.stage.store.artifact import RECORD, WRITER, Artifact, File

# Change times come from a clock that ticks this coarsely at worst.
TICK_NS = 20_000_000
READERS = 16
BLOCK = 1 << 20

Problems = tuple[str, ...]


class IntegrityChecker:
    """Checks artifacts of the store at `root` of a filesystem; `local_root` is the same folder if it is on this machine."""

    def __init__(self, fs: fsspec.AbstractFileSystem, root: str, local_root: Path | None, digests: DigestCache | None) -> None:
        self.fs, self.root, self.local_root, self.digests = fs, root, local_root, digests

    def check(self, artifact: Artifact, *, digests: bool) -> Problems:
        """Return the problems of an artifact's files, in words; empty when there are none."""
        if digests:
            return next(self.examine([artifact]))[1]
        problems, suspects = self._check_sizes(artifact)
        if suspects and self.local_root is not None:
            problems |= _content_problems(suspects, self._cached_digests(suspects))
        return _in_order(artifact, problems)

    def examine(self, artifacts: Iterable[Artifact]) -> Iterator[tuple[Artifact, Problems]]:
        """Read every file of many artifacts, several at once; yield (artifact, problems) in the given order."""
        sized = [(artifact, *self._check_sizes(artifact, every=True)) for artifact in artifacts]
        read = self._read_digests(path for _, _, files in sized for path in files)
        for artifact, problems, files in sized:
            yield artifact, _in_order(artifact, problems | _content_problems(files, dict(next(read) for _ in files)))

    def _cached_digests(self, files: Mapping[Path, File]) -> dict[Path, str]:
        if self.digests is None:
            return hash_files(files)
        found = self.digests.of(files)
        return found | hash_files(path for path, file in files.items() if found[path] != file.sha256)

    def _check_sizes(self, artifact: Artifact, *, every: bool = False) -> tuple[dict[str, str], dict[Path, File]]:
        """Return problems by file, and the files whose content must be checked: those that look touched, or `every` file."""
        problems: dict[str, str] = {}
        suspects: dict[Path, File] = {}
        folder = f"{self.root}/{artifact.files_at}"
        found = self._list_remote(folder) if self.local_root is None else _list_local(folder, f"{self.root}/{artifact.location}", artifact)
        for file in artifact.files:
            if file.path not in found:
                problems[file.path] = f"{file.path} is missing"
                continue
            size, touched = found[file.path]
            if size != file.size:
                problems[file.path] = f"{file.path} has {size} bytes instead of {file.size}"
            elif touched or every:
                suspects[Path(f"{folder}/{file.path}")] = file
        for path in sorted(found.keys() - {RECORD, *(file.path for file in artifact.files)}):
            if self.local_root is None and WRITER.fullmatch(path.partition("/")[0]):
                continue  # beside a record from before writers had folders, another writer is at work
            problems[path] = f"{path} is not in its record"
        return problems, suspects

    def _list_remote(self, folder: str) -> dict[str, tuple[int, bool]]:
        self.fs.invalidate_cache(folder)
        return {path[len(folder) + 1 :]: (int(entry["size"]), False) for path, entry in self.fs.find(folder, detail=True).items()}

    def _read_digests(self, paths: Iterable[Path]) -> Iterator[tuple[Path, str]]:
        if self.local_root is not None:
            yield from read_digests(paths)
            return
        wanted = list(paths)
        with ThreadPoolExecutor(READERS) as readers:
            yield from zip(wanted, readers.map(self._hash_remote, wanted), strict=True)

    def _hash_remote(self, path: Path) -> str:
        digest = hashlib.sha256()
        try:
            with self.fs.open(str(path), "rb") as stream:
                while block := stream.read(BLOCK):
                    digest.update(block)
        except OSError as error:
            return f"{UNREADABLE}{error.strerror or error}"
        return digest.hexdigest()


def _list_local(folder: str, location: str, artifact: Artifact) -> dict[str, tuple[int, bool]]:
    """Return the size of each file of an artifact on a disk and whether it looks touched."""
    # Plain strings, since making a Path costs several times its stat.
    try:
        written = os.stat(f"{location}/{RECORD}").st_mtime_ns  # noqa: PTH116
    except OSError:
        written = 0
    untouched = min(written, int(datetime.fromisoformat(artifact.origin.created).timestamp() * 1e9)) - TICK_NS
    return {path: (stat.st_size, max(stat.st_mtime_ns, stat.st_ctime_ns) > untouched) for path, stat in _walk(folder, "")}


def _walk(folder: str, below: str) -> Iterator[tuple[str, os.stat_result]]:
    try:
        with os.scandir(f"{folder}/{below}") as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from _walk(folder, f"{below}{entry.name}/")
                else:
                    # A broken link, or a file deleted meanwhile, counts as missing.
                    with suppress(FileNotFoundError):
                        yield f"{below}{entry.name}", entry.stat()
    except (FileNotFoundError, NotADirectoryError):
        return


def _content_problems(files: Mapping[Path, File], digests: Mapping[Path, str]) -> dict[str, str]:
    problems = {}
    for path, file in files.items():
        if digests[path].startswith(UNREADABLE):
            problems[file.path] = f"{file.path} can't be read ({digests[path].removeprefix(UNREADABLE)})"
        elif digests[path] != file.sha256:
            problems[file.path] = f"{file.path} does not match its record"
    return problems


def _in_order(artifact: Artifact, problems: Mapping[str, str]) -> Problems:
    order = {file.path: number for number, file in enumerate(artifact.files)}
    return tuple(problems[path] for path in sorted(problems, key=lambda path: (order.get(path, len(order)), path)))
