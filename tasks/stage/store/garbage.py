"""What a store holds that nothing needs any more: told first, deleted only when asked.

Kept are, with everything they were made from: the newest finished runs of each recipe; runs under way; the runs since the newest
finished one whose work their continuation would reuse; runs named; and whatever was ever registered as a model. Everything is kept in
a store whose journal is empty, and what was made before the journal's first run unless that is asked for, too.

Guarantees: what was made from something goes before it, and a record before its files, so a collection that is killed leaves whole
artifacts with their whole lineage, and folders that the next one takes. Nothing is deleted while a run is under way; the error names the
run. Records of runs stay: they are small and say what was. It reads every record, about 0.1 ms each.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from tasks.stage.store.acceptance import ACCEPTED, acceptances
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.journal import RUNS, Journal, RunRecord
from tasks.stage.store.retention import RetainedRun, needed_keys, retained_runs
from tasks.stage.store.store import DAMAGE_REPORT, STORE_LOCK, Store, StoreError
from tasks.stage.system.locks import is_leased, is_locked

IDLE = timedelta(days=1)
ASIDE = timedelta(weeks=1)
LOCATION = re.compile(r".+-[0-9a-f]{8}")
REPLACED = re.compile(r"\..+-[0-9a-f]{8}-[0-9a-f]{6}")
WORK = re.compile(r"(?P<stage>.+)-(?P<key>[0-9a-f]{16})")

Kind = Literal["artifact", "folder without record", "work in progress", "put aside", "lock", "acceptance", "half-written file"]


@dataclass(frozen=True)
class Garbage:
    """Something that can go."""

    kind: Kind
    path: str
    size: int
    why: str


@dataclass(frozen=True)
class GarbageSurvey:
    """What stays and what can go. `recorded`: whether the store has a journal; without one everything stays."""

    recorded: bool
    runs: tuple[RetainedRun, ...] = ()
    artifacts: int = 0
    size: int = 0
    unrecorded: int = 0
    waste: tuple[Garbage, ...] = ()


def collect_garbage(store: Store, *, delete: bool, keep: int, named: Sequence[str] = (), unrecorded: bool = False) -> GarbageSurvey:
    """What can go and, with `delete`, is gone. `keep`: finished runs of each recipe; `named`: more runs; `unrecorded`: what is older than
    the journal goes, too. Raises StoreError when a run is under way, LookupError when a named run does not exist."""
    if not delete:
        return survey_garbage(store, keep=keep, named=named, unrecorded=unrecorded)
    with exclusive_use(store):
        found = survey_garbage(store, keep=keep, named=named, unrecorded=unrecorded)
        for waste in found.waste:
            store.discard(waste.path)
        if store.integrity.digests is not None:
            store.integrity.digests.prune()
    return found


def survey_garbage(store: Store, *, keep: int, named: Sequence[str] = (), unrecorded: bool = False) -> GarbageSurvey:
    """What stays and what can go, by the records alone. Raises LookupError when a named run does not exist."""
    journal = Journal(store)
    runs = journal.records()
    artifacts = list(store.records())
    if not runs:
        return GarbageSurvey(False, artifacts=len(artifacts), size=sum(map(_size, artifacts)))
    retained = retained_runs(runs, keep, {journal.get(text).id for text in named}, {run.id for run in runs if journal.alive(run)})
    users = {recorded.location: run for run in reversed(runs) for recorded in run.positions.values()}
    older = [] if unrecorded else [a for a in artifacts if a.location not in users and a.origin.created < runs[-1].started]
    roots = {recorded.location for found in retained for recorded in found.run.positions.values()}
    roots |= {recorded.key for found in retained for recorded in found.run.positions.values()}
    roots |= {registered.location for run in runs for registered in run.registered} | {artifact.location for artifact in older}
    roots |= {acceptance.instead for acceptance in acceptances(store) if acceptance.key in roots}
    needed = needed_keys(artifacts, roots)
    staying = [artifact for artifact in artifacts if artifact.key in needed]
    going = sorted((a for a in artifacts if a.key not in needed), key=lambda a: a.origin.created, reverse=True)
    unfinished = [datetime.fromisoformat(found.run.started).timestamp() for found in retained if found.run.status != "finished"]
    stages = {artifact.stage for artifact in artifacts} | {recorded.stage for run in runs for recorded in run.positions.values()}
    rest = leftovers(store, stages, {artifact.key for artifact in staying}, min(unfinished, default=float("inf")))
    waste = (*(Garbage("artifact", a.location, _size(a), _why(users.get(a.location))) for a in going), *rest)
    return GarbageSurvey(True, tuple(retained), len(staying), sum(map(_size, staying)), len(older), waste)


def _size(artifact: Artifact) -> int:
    return sum(file.size for file in artifact.files)


def _why(user: RunRecord | None) -> str:
    return f"last used by run {user.id} of {user.recipe}, which is not kept" if user else "no recorded run used it"


@contextmanager
def exclusive_use(store: Store) -> Iterator[None]:
    """Have the store to oneself. Raises StoreError naming the run that is under way."""
    journal = Journal(store)

    def under_way() -> list[str]:
        return [f"run {run.id} of {run.recipe} (process {run.pid} on {run.host})" for run in journal.records() if journal.alive(run)]

    try:
        with store.exclusive():
            if store.local_root is None and (runs := under_way()):
                raise StoreError(_refusal(store, runs))
            yield
    except BlockingIOError:
        raise StoreError(_refusal(store, under_way() or ["a run"])) from None


def _refusal(store: Store, runs: list[str]) -> str:
    return f"{store.url} is in use: {', '.join(runs)} is under way, so nothing is deleted. Wait for it to end, then give the command again."


def leftovers(store: Store, stages: Collection[str], keys: Collection[str], wanted_since: float) -> Iterator[Garbage]:
    """All of it. `stages`: those known to make artifacts; `keys`: of artifacts that stay; `wanted_since`: work from then on is wanted."""
    yield from orphans(store, stages)
    yield from _work(store, wanted_since)
    yield from _aside(store)
    yield from _acceptances(store, keys)
    yield from _locks(store)
    yield from _halves(store)


def orphans(store: Store, stages: Collection[str]) -> Iterator[Garbage]:
    """Folders of a stage that hold no record: a killed commit or collection leaves them, or a record was removed."""
    for stage in sorted(stages):
        for location in store.index.locations(stage):
            if LOCATION.fullmatch(location.rpartition("/")[2]) and store.index.read(location) is None:
                yield Garbage(
                    "folder without record",
                    location,
                    _bytes_below(store, location),
                    "a commit or a collection was killed, or its record was removed",
                )
        for name in _hidden(store, stage):
            if REPLACED.fullmatch(name):
                path = f"{stage}/{name}"
                yield Garbage(
                    "folder without record", path, _bytes_below(store, path), "a commit was killed while it took the place of this"
                )


def _work(store: Store, wanted_since: float) -> Iterator[Garbage]:
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
        yield Garbage("work in progress", path, sum(int(e["size"]) for e in entries if e["type"] == "file"), f"idle for {_days(changed)}")


def _aside(store: Store) -> Iterator[Garbage]:
    for name in _hidden(store, ".quarantine", hidden=False):
        path = f".quarantine/{name}"
        try:
            since = store.fs.modified(f"{store.root}/{path}/{DAMAGE_REPORT}").timestamp()
        except FileNotFoundError:
            continue
        if time.time() - since > ASIDE.total_seconds():
            yield Garbage("put aside", path, _bytes_below(store, path), f"damaged, and put aside {_days(since)} ago")


def _acceptances(store: Store, keys: Collection[str]) -> Iterator[Garbage]:
    for acceptance in acceptances(store):
        if acceptance.instead not in keys:
            path = f"{ACCEPTED}/{acceptance.stage}-{acceptance.key}.json"
            yield Garbage("acceptance", path, 0, f"the {acceptance.stage} that it lets stand in is not kept")


def _locks(store: Store) -> Iterator[Garbage]:
    for folder in (".locks", RUNS):
        for name in store.names(folder):
            path = f"{folder}/{name}"
            if store.local_root is not None:
                free = name.endswith(".lock") and name != STORE_LOCK and not is_locked(store.local_root / path)
            else:
                lease = name.endswith(".lock") or folder == ".locks"
                free = lease and not is_leased(store.fs, f"{store.root}/{path}")
            if free:
                yield Garbage("lock", path, 0, "nobody holds it")


def _halves(store: Store) -> Iterator[Garbage]:
    """Files that were being written when their writer was killed; their names begin with a dot until they are whole."""
    if store.local_root is None:
        return
    for folder in (RUNS, ACCEPTED):
        for path in sorted((store.local_root / folder).glob(".*.json-*")):
            yield Garbage("half-written file", f"{folder}/{path.name}", path.stat().st_size, "its writer was killed")


def _hidden(store: Store, folder: str, *, hidden: bool = True) -> list[str]:
    """Names of the folders below a folder that are hidden ones, or are not."""
    store.fs.invalidate_cache()
    try:
        listing = store.fs.ls(f"{store.root}/{folder}", detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return []
    names = (str(entry["name"]).rstrip("/").rsplit("/", 1)[-1] for entry in listing if entry["type"] == "directory")
    return sorted(name for name in names if name.startswith(".") == hidden)


def _bytes_below(store: Store, path: str) -> int:
    return sum(int(entry["size"]) for entry in store.fs.find(f"{store.root}/{path}", detail=True).values())


def _days(since: float) -> str:
    days = int((time.time() - since) // 86400)
    return f"{days} day{'' if days == 1 else 's'}"
