"""What lies in a store and is no artifact: what interrupted work left, what was put aside, locks that nobody holds.

Guarantees: nothing is named that a living run may use. Work in progress counts as left over when no process holds its lock, nothing in
it changed for a day, and no kept unfinished run was under way when it last did; what was put aside after a week; a folder without a
record only where artifacts of its stage lie, and under a name that only folio gives. Work in progress of an object store lies in
the home of whoever made it, shared by all stores, and is not looked at.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from tasks.stage.store.acceptance import ACCEPTED, acceptances
from tasks.stage.store.locks import is_leased, is_locked
from tasks.stage.store.store import REASON, WHOLE, Store
from tasks.stage.tracking.journal import RUNS

IDLE = timedelta(days=1)
ASIDE = timedelta(weeks=1)
LOCATION = re.compile(r".+-[0-9a-f]{8}")
REPLACED = re.compile(r"\..+-[0-9a-f]{8}-[0-9a-f]{6}")
WORK = re.compile(r"(?P<stage>.+)-(?P<key>[0-9a-f]{16})")

Kind = Literal["artifact", "folder without record", "work in progress", "put aside", "lock", "acceptance", "half-written file"]


@dataclass(frozen=True)
class Waste:
    """Something that can go."""

    kind: Kind
    path: str
    size: int
    why: str


def leftovers(store: Store, stages: Collection[str], keys: Collection[str], wanted_since: float) -> Iterator[Waste]:
    """All of it. `stages`: those known to make artifacts; `keys`: of artifacts that stay; `wanted_since`: work from then on is wanted."""
    yield from orphans(store, stages)
    yield from _work(store, wanted_since)
    yield from _aside(store)
    yield from _acceptances(store, keys)
    yield from _locks(store)
    yield from _halves(store)


def orphans(store: Store, stages: Collection[str]) -> Iterator[Waste]:
    """Folders of a stage that hold no record: a killed commit or collection leaves them, or a record was removed."""
    for stage in sorted(stages):
        for location in store.catalogue.locations(stage):
            if LOCATION.fullmatch(location.rpartition("/")[2]) and store.catalogue.read(location) is None:
                yield Waste(
                    "folder without record",
                    location,
                    _size(store, location),
                    "a commit or a collection was killed, or its record was removed",
                )
        for name in _hidden(store, stage):
            if REPLACED.fullmatch(name):
                path = f"{stage}/{name}"
                yield Waste("folder without record", path, _size(store, path), "a commit was killed while it took the place of this")


def _work(store: Store, wanted_since: float) -> Iterator[Waste]:
    if store.local_root is None:
        return
    for name in _hidden(store, ".staging", hidden=False):
        path = f".staging/{name}"
        entries = store.fs.find(f"{store.root}/{path}", withdirs=True, detail=True).values()
        times = [float(entry["mtime"]) for entry in entries]
        changed = max([*times, (store.local_root / path).stat().st_mtime])
        found = WORK.fullmatch(name)
        locks = (store.local_root / ".locks").glob(f"{found['key']}*.lock") if found else ()
        if changed > time.time() - IDLE.total_seconds() or changed >= wanted_since or any(is_locked(lock) for lock in locks):
            continue
        yield Waste("work in progress", path, sum(int(e["size"]) for e in entries if e["type"] == "file"), f"idle for {_days(changed)}")


def _aside(store: Store) -> Iterator[Waste]:
    for name in _hidden(store, ".quarantine", hidden=False):
        path = f".quarantine/{name}"
        try:
            since = store.fs.modified(f"{store.root}/{path}/{REASON}").timestamp()
        except FileNotFoundError:
            continue
        if time.time() - since > ASIDE.total_seconds():
            yield Waste("put aside", path, _size(store, path), f"damaged, and put aside {_days(since)} ago")


def _acceptances(store: Store, keys: Collection[str]) -> Iterator[Waste]:
    for acceptance in acceptances(store):
        if acceptance.instead not in keys:
            path = f"{ACCEPTED}/{acceptance.stage}-{acceptance.key}.json"
            yield Waste("acceptance", path, 0, f"the {acceptance.stage} that it lets stand in is not kept")


def _locks(store: Store) -> Iterator[Waste]:
    for folder in (".locks", RUNS):
        for name in store.names(folder):
            path = f"{folder}/{name}"
            if store.local_root is not None:
                free = name.endswith(".lock") and name != WHOLE and not is_locked(store.local_root / path)
            else:
                lease = name.endswith(".lock") or folder == ".locks"
                free = lease and not is_leased(store.fs, f"{store.root}/{path}")
            if free:
                yield Waste("lock", path, 0, "nobody holds it")


def _halves(store: Store) -> Iterator[Waste]:
    """Files that were being written when their writer was killed; their names begin with a dot until they are whole."""
    if store.local_root is None:
        return
    for folder in (RUNS, ACCEPTED):
        for path in sorted((store.local_root / folder).glob(".*.json-*")):
            yield Waste("half-written file", f"{folder}/{path.name}", path.stat().st_size, "its writer was killed")


def _hidden(store: Store, folder: str, *, hidden: bool = True) -> list[str]:
    """Names of the folders below a folder that are hidden ones, or are not."""
    store.fs.invalidate_cache()
    try:
        listing = store.fs.ls(f"{store.root}/{folder}", detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return []
    names = (str(entry["name"]).rstrip("/").rsplit("/", 1)[-1] for entry in listing if entry["type"] == "directory")
    return sorted(name for name in names if name.startswith(".") == hidden)


def _size(store: Store, path: str) -> int:
    return sum(int(entry["size"]) for entry in store.fs.find(f"{store.root}/{path}", detail=True).values())


def _days(since: float) -> str:
    days = int((time.time() - since) // 86400)
    return f"{days} day{'' if days == 1 else 's'}"
