"""Index of a store: the folders of its stages and the records in them, read again only if they may have changed.

On a local store an answer is never stale. A listing is kept only while the stage's folder has the same times, and not if
it was made within `SETTLE_SECONDS` of a change; a record only while its file has the same size, times and inode. An object store is asked
each time, many records at once.
With 10,000 artifacts in one stage a listing takes about 10 ms, once a process; a record takes one `stat` when it is cached and about 0.1
ms when it is not.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import fsspec

from tasks.stage.identity.key import KEY_DIGITS
from tasks.stage.store.artifact import FORMAT, RECORD, Artifact, BrokenSeal, unseal

ADDRESS_DIGITS = 12
"""Digits of its address in the name of an artifact's folder; 8 of its key before traces were recorded."""
NAME = re.compile(r"(?P<label>.+)-(?P<digits>[0-9a-f]{8}(?:[0-9a-f]{4})?)")
SETTLE_SECONDS = 2.0
READERS = 16


@dataclass(frozen=True)
class Damaged:
    """An artifact whose record and files disagree, or whose record is unreadable."""

    location: str
    problems: tuple[str, ...]


@dataclass(frozen=True)
class OtherFormat(Damaged):
    """An intact record that another version of folio wrote and this one can't read; its files are left alone. `format`: the record's."""

    format: int = 0


@dataclass(frozen=True)
class _StageFolder:
    """The artifact folders of one stage, in name order."""

    locations: tuple[str, ...] = ()
    by_key: dict[str, list[str]] = field(default_factory=dict)
    by_label: dict[str, list[str]] = field(default_factory=dict)


StatSignature = tuple[int, int, int, int]


class StoreIndex:
    """The stages and records of the store at `root` of a filesystem; `local_root` is the same folder if it is on this machine."""

    def __init__(self, fs: fsspec.AbstractFileSystem, root: str, local_root: Path | None) -> None:
        self.fs, self.root, self.local_root = fs, root, local_root
        self._stages: dict[str, tuple[StatSignature, _StageFolder]] = {}
        self._records: dict[str, tuple[StatSignature, Artifact | Damaged]] = {}
        self._newest: dict[tuple[str, str], tuple[_StageFolder, str]] = {}

    def stages(self) -> list[str]:
        """Return the names of the stages that have a folder."""
        return self._folders("")

    def locations(self, stage: str) -> tuple[str, ...]:
        """Return every artifact folder of a stage, in name order."""
        return self._stage_folder(stage).locations

    def with_key(self, stage: str, key: str) -> list[str]:
        """Return the folders whose names begin like this key or one of its addresses."""
        return self._stage_folder(stage).by_key.get(key[:KEY_DIGITS], [])

    def read(self, location: str) -> Artifact | Damaged | None:
        """Return the record of a folder; `Damaged` when it can't be read, None when there is none."""
        if self.local_root is None:
            return next(self._read_remote([location]))[1]
        path = self.local_root / location / RECORD
        try:
            known, now = self._records.get(location), stat_signature(path.stat())
            if known is not None and known[0] == now:
                return known[1]
            with path.open("rb") as stream:
                now, content = stat_signature(os.fstat(stream.fileno())), stream.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            return _unreadable_record(location, error)
        found = parse_record(location, content)
        self._records[location] = now, found
        return found

    def records(self, locations: Iterable[str]) -> Iterator[Artifact]:
        """Yield the readable records, in the order of their folders."""
        found = self._read_remote(locations) if self.local_root is None else ((location, self.read(location)) for location in locations)
        return (artifact for _, artifact in found if isinstance(artifact, Artifact))

    def newest(self, stage: str, label: str) -> Artifact | None:
        """Return the newest record of a stage and label."""
        names = self._stage_folder(stage)
        known = self._newest.get((stage, label))
        if known is not None and known[0] is names and isinstance(found := self.read(known[1]), Artifact):
            return found
        newest = self._read_newest(names.by_label.get(label, []))
        if newest is not None:
            self._newest[stage, label] = names, newest.location
        return newest

    def labelled(self, stage: str, label: str) -> Iterator[Artifact]:
        """Yield the readable records of a stage and label, in the order of their folders."""
        yield from self.records(self._stage_folder(stage).by_label.get(label, ()))

    def recent(self, stage: str, most: int) -> list[Artifact]:
        """Return a stage's latest records, at most `most`; on an object store, which isn't asked for times, any of them."""
        locations = list(self._stage_folder(stage).locations)
        if self.local_root is not None:
            root = self.local_root
            locations.sort(key=lambda location: _modified(root / location / RECORD), reverse=True)
        return list(self.records(locations[:most]))

    def _read_newest(self, locations: list[str]) -> Artifact | None:
        if self.local_root is None:
            return max(self.records(locations), key=_created, default=None)
        written = sorted(((_modified(self.local_root / location / RECORD), location) for location in locations), reverse=True)
        best: Artifact | None = None
        for mtime, location in written:
            # A record is written after its artifact was made, so records written earlier than this one was made are older.
            if best is not None and mtime + SETTLE_SECONDS < datetime.fromisoformat(best.origin.created).timestamp():
                break
            found = self.read(location)
            if isinstance(found, Artifact) and (best is None or _created(found) > _created(best)):
                best = found
        return best

    def _stage_folder(self, stage: str) -> _StageFolder:
        if self.local_root is None:
            return _index_names(stage, self._folders(stage))
        try:
            now = stat_signature((self.local_root / stage).stat())
        except OSError:
            return _StageFolder()
        known = self._stages.get(stage)
        if known is not None and known[0] == now:
            return known[1]
        started = time.time_ns()
        names = _index_names(stage, self._folders(stage))
        if started - max(now[:2]) > SETTLE_SECONDS * 1e9:
            self._stages[stage] = now, names
        return names

    def _folders(self, below: str) -> list[str]:
        """List the folders below a path of the store, except hidden ones, which hold no artifacts."""
        try:
            if self.local_root is not None:
                with os.scandir(self.local_root / below) as entries:
                    return sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir())
            # Another machine may have written since this process last looked.
            self.fs.invalidate_cache()
            listing = self.fs.ls(f"{self.root}/{below}".rstrip("/"), detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return []
        names = (entry["name"].rstrip("/").rsplit("/", 1)[-1] for entry in listing if entry["type"] == "directory")
        return sorted(name for name in names if not name.startswith("."))

    def _read_remote(self, locations: Iterable[str]) -> Iterator[tuple[str, Artifact | Damaged | None]]:
        def read(location: str) -> Artifact | Damaged | None:
            try:
                return parse_record(location, self.fs.cat_file(f"{self.root}/{location}/{RECORD}"))
            except FileNotFoundError:
                return None
            except OSError as error:
                return _unreadable_record(location, error)

        wanted = list(locations)
        with ThreadPoolExecutor(min(READERS, max(1, len(wanted)))) as readers:
            yield from zip(wanted, readers.map(read, wanted), strict=True)


def stat_signature(found: os.stat_result) -> StatSignature:
    """Return what changes whenever a file or folder does: modification and change time, size, inode."""
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def _index_names(stage: str, names: list[str]) -> _StageFolder:
    found = _StageFolder(tuple(f"{stage}/{name}" for name in names))
    for location, name in zip(found.locations, names, strict=True):
        if parts := NAME.fullmatch(name):
            found.by_key.setdefault(parts["digits"][:KEY_DIGITS], []).append(location)
            found.by_label.setdefault(parts["label"], []).append(location)
    return found


def parse_record(location: str, content: bytes) -> Artifact | Damaged:
    """Return what a record says, or why it can't be read."""
    try:
        found = Artifact.unsealed(content)
    except ValueError as error:
        written = _intact_format(content)
        if written is None:
            return _unreadable_record(location, error)
        return OtherFormat(location, (f"{RECORD} is of format {written}, which this folio, of format {FORMAT}, can't read",), written)
    if found.format > FORMAT:
        return OtherFormat(location, (f"{RECORD} is of format {found.format}, newer than this folio's {FORMAT}",), found.format)
    return found


def _intact_format(content: bytes) -> int | None:
    """Return the format that a record says it is of; None for one that is damaged, or says none."""
    try:
        text, checked = unseal(content)
        said = json.loads(text)
    except ValueError:
        return None
    written = said.get("format") if isinstance(said, dict) else None
    # Formats before the first with a checksum have none.
    return written if isinstance(written, int) and (checked or written < FORMAT) else None


def _unreadable_record(location: str, error: Exception) -> Damaged:
    return Damaged(location, (f"{RECORD} can't be read ({error if isinstance(error, BrokenSeal) else type(error).__name__})",))


def _created(artifact: Artifact) -> str:
    return artifact.origin.created


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
