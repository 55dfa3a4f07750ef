"""Find what a store does not need any more, and delete it only when asked; verify what it has.

Kept, with everything they were made from, are: the newest finished runs of each recipe; runs under way; runs since the newest finished one
whose work a continuation would reuse; runs named by the caller; and every artifact ever registered as a model. Artifacts that none of them
needs go, except in a store whose journal is empty and, unless asked for, artifacts older than the journal's first run. So do the remains
of interrupted work, old quarantined artifacts, locks that nobody holds, acceptances whose artifact goes and traces that no kept artifact
names.

An artifact goes before what it was made from, and a record before its files, so a collection that is killed leaves whole artifacts with
complete lineage, and folders that the next one deletes. Nothing is deleted while a run is under way, nor anything that a live run may
use: work in progress counts as garbage only if no process holds its lock, nothing in it changed for a day, and no retained unfinished run
was under way when it last changed; quarantined artifacts only after a week; a folder without a record only next to artifacts of its stage
lie, and under a name that only folio gives. Work in progress for an object store lies in the home of whoever made it, shared by all
stores, and is left alone. Records of runs are kept. Every record is read, at about 0.1 ms each.

Verification reads every file again, ignoring caches, several at a time. Reported are: artifacts with files that are missing, unreadable,
differ from their record or are not in it, or whose trace is; records that can't be read or belong elsewhere; folders without a record,
unless a run is under way, which may be about to write it; and artifacts that the newest runs used and that are gone. Nothing is changed.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Literal

from tasks.stage.store.artifact import RECORD, WRITER, Artifact, content_digest
from tasks.stage.store.index import NAME, Damaged, OtherFormat
from tasks.stage.store.journal import RUNS, Journal, RunRecord
from tasks.stage.store.origin import now
from tasks.stage.store.store import DAMAGE_REPORT, STORE_LOCK, Store, StoreError
from tasks.stage.store.traces import TRACES, age_of, read_trace
from tasks.stage.store.verdicts import ACCEPTED, APPROVED, acceptances
from tasks.stage.system.leases import is_leased
from tasks.stage.system.locks import Lock, is_locked
from tasks.stage.system.progress import ProgressMeter

IDLE = timedelta(days=1)
QUARANTINE = timedelta(weeks=1)
REPLACED = re.compile(rf"\.{NAME.pattern}-[0-9a-f]{{6}}")
WORK = re.compile(r"(?P<stage>.+)-(?P<key>[0-9a-f]{16})")
Kind = Literal["artifact", "folder without record", "work in progress", "quarantined", "lock", "acceptance", "trace", "half-written file"]


@dataclass(frozen=True)
class RetainedRun:
    """A run whose artifacts are kept, and why."""

    run: RunRecord
    why: str


def retained_runs(runs: Iterable[RunRecord], keep: int, named: set[str], alive: set[str]) -> list[RetainedRun]:
    """Return the runs that are kept. `runs`: newest first; `keep`: finished runs of each recipe."""
    kept: list[RetainedRun] = []
    finished: dict[str, int] = {}
    reached: dict[str, set[str]] = {}
    for run in runs:
        positions = reached.setdefault(run.recipe, set())
        done = finished.get(run.recipe, 0)
        if run.id in alive:
            kept.append(RetainedRun(run, "it is under way"))
        elif run.status == "finished":
            finished[run.recipe] = done + 1
            if done < keep:
                kept.append(RetainedRun(run, "one of the newest finished runs"))
            elif run.id in named:
                kept.append(RetainedRun(run, "named"))
        elif run.id in named:
            kept.append(RetainedRun(run, "named"))
        # An unfinished run is worth keeping only where it reached positions that no later one did.
        elif done == 0 and (not positions or run.positions.keys() - positions):
            kept.append(
                RetainedRun(run, f"{'crashed' if run.status == 'running' else run.status} after the newest finished run; may be continued")
            )
        positions.update(run.positions)
    return kept


def needed_addresses(artifacts: Iterable[Artifact], roots: set[str]) -> set[str]:
    """Return the addresses of the roots, given by location or address, and of everything that they were made from."""
    inputs: dict[str, set[str]] = {}
    waiting = []
    for artifact in artifacts:
        inputs.setdefault(artifact.address, set()).update(given.address for given in artifact.inputs.values())
        if artifact.location in roots or artifact.address in roots:
            waiting.append(artifact.address)
    needed: set[str] = set()
    while waiting:
        address = waiting.pop()
        if address in inputs and address not in needed:
            needed.add(address)
            waiting += inputs[address]
    return needed


@dataclass(frozen=True)
class Garbage:
    """Something that can be deleted."""

    kind: Kind
    path: str
    size: int
    why: str


@dataclass(frozen=True)
class GarbageSurvey:
    """The artifacts to keep and to collect. `recorded`: whether the store has a journal; without one everything is kept."""

    recorded: bool
    runs: tuple[RetainedRun, ...] = ()
    artifacts: int = 0
    size: int = 0
    unrecorded: int = 0
    garbage: tuple[Garbage, ...] = ()


def collect_garbage(
    store: Store,
    *,
    delete: bool,
    keep: int,
    named: Sequence[str] = (),
    unrecorded: bool = False,
    condemned: Mapping[str, str] = MappingProxyType({}),
) -> GarbageSurvey:
    """Find garbage and, with `delete`, delete it.

    `keep`: finished runs to retain of each recipe; `named`: more runs to retain; `unrecorded`: delete artifacts older than the journal
    too; `condemned`: address -> why, of artifacts that go whatever needs them. Raises StoreError when a run is under way, LookupError when
    a named run does not exist.
    """
    if not delete:
        return survey_garbage(store, keep=keep, named=named, unrecorded=unrecorded, condemned=condemned)
    with exclusive_use(store) as lock:
        found = survey_garbage(store, keep=keep, named=named, unrecorded=unrecorded, condemned=condemned)
        for garbage in found.garbage:
            # Once its lock is lost, a run may have begun to use what was garbage.
            lock.require(garbage.path)
            store.discard(garbage.path)
        if store.integrity.digests is not None:
            store.integrity.digests.prune()
    return found


def survey_garbage(
    store: Store,
    *,
    keep: int,
    named: Sequence[str] = (),
    unrecorded: bool = False,
    condemned: Mapping[str, str] = MappingProxyType({}),
) -> GarbageSurvey:
    """Find garbage without deleting anything. Raises LookupError when a named run does not exist."""
    journal = Journal(store)
    runs = journal.records()
    artifacts = list(store.records())
    if not runs and not condemned:
        return GarbageSurvey(False, artifacts=len(artifacts), size=sum(map(_size, artifacts)))
    retained = retained_runs(runs, keep, {journal.get(text).id for text in named}, {run.id for run in runs if journal.alive(run)})
    users = {recorded.location: run for run in reversed(runs) for recorded in run.positions.values()}
    first = runs[-1].started if runs else now()
    older = [] if unrecorded else [a for a in artifacts if a.location not in users and a.origin.created < first]
    roots = {recorded.location for found in retained for recorded in found.run.positions.values()}
    roots |= {recorded.address for found in retained for recorded in found.run.positions.values()}
    roots |= {registered.location for run in runs for registered in run.registered} | {artifact.location for artifact in older}
    needed = needed_addresses(artifacts, roots) - condemned.keys()
    staying = [artifact for artifact in artifacts if artifact.address in needed]
    going = sorted((a for a in artifacts if a.address not in needed), key=lambda a: a.origin.created, reverse=True)
    unfinished = [datetime.fromisoformat(found.run.started).timestamp() for found in retained if found.run.status != "finished"]
    stages = {artifact.stage for artifact in artifacts} | {recorded.stage for run in runs for recorded in run.positions.values()}
    rest = other_garbage(store, stages, staying, min(unfinished, default=float("inf")))
    reasons = {a.address: condemned.get(a.address) or _why(users.get(a.location)) for a in going}
    garbage = (*(Garbage("artifact", a.location, _size(a), reasons[a.address]) for a in going), *rest)
    return GarbageSurvey(True, tuple(retained), len(staying), sum(map(_size, staying)), len(older), garbage)


def _size(artifact: Artifact) -> int:
    return sum(file.size for file in artifact.files)


def _why(user: RunRecord | None) -> str:
    return f"last used by run {user.id} of {user.recipe}, which is not kept" if user else "no recorded run used it"


@contextmanager
def exclusive_use(store: Store) -> Iterator[Lock]:
    """Hold the store exclusively. Raises StoreError naming the run that is under way."""
    journal = Journal(store)

    def under_way() -> list[str]:
        return [f"run {run.id} of {run.recipe} (process {run.pid} on {run.host})" for run in journal.records() if journal.alive(run)]

    try:
        with store.exclusive() as lock:
            if store.local_root is None and (runs := under_way()):
                raise StoreError(_refusal(store, runs))
            yield lock
    except BlockingIOError:
        raise StoreError(_refusal(store, under_way() or ["a run"])) from None


def _refusal(store: Store, runs: list[str]) -> str:
    return f"{store.url} is in use: {', '.join(runs)} is under way, so nothing is deleted. Wait for it to end, then give the command again."


def other_garbage(store: Store, stages: Collection[str], staying: Collection[Artifact], wanted_since: float) -> Iterator[Garbage]:
    """Yield garbage other than artifacts.

    `stages`: names of stages that make artifacts; `staying`: the artifacts that are kept; `wanted_since`: keep work in progress from this
    time on.
    """
    yield from folders_without_record(store, stages)
    yield from _idle_work(store, wanted_since)
    yield from _quarantined(store)
    yield from _acceptances(store, {artifact.address for artifact in staying})
    yield from _traces(store, {name for artifact in staying for name in (artifact.trace, artifact.marks)})
    yield from _locks(store)
    yield from _partial_files(store)


def folders_without_record(store: Store, stages: Collection[str]) -> Iterator[Garbage]:
    """Yield folders of a stage without a record: left by a killed commit or collection, or their record was removed."""
    for stage in sorted(stages):
        for location in store.index.locations(stage):
            if NAME.fullmatch(location.rpartition("/")[2]) and store.index.read(location) is None:
                yield Garbage(
                    "folder without record",
                    location,
                    _bytes_below(store, location),
                    "a commit or a collection was killed, or its record was removed",
                )
        for name in _folders(store, stage):
            if REPLACED.fullmatch(name):
                path = f"{stage}/{name}"
                yield Garbage("folder without record", path, _bytes_below(store, path), "a refresh replaced it")
        yield from _late_writers(store, stage)


def _late_writers(store: Store, stage: str) -> Iterator[Garbage]:
    """Yield folders of files beside those of a record: of a refreshed artifact, or of a writer that was killed or came too late."""
    if store.local_root is not None:
        return
    own = {artifact.location: {artifact.folder, *(file.path.split("/")[0] for file in artifact.files)} for artifact in store.records(stage)}
    sizes: dict[str, int] = {}
    for path, entry in store.fs.find(f"{store.root}/{stage}", detail=True).items():
        below = path[len(store.root) + 1 :].split("/")
        location, folder = "/".join(below[:2]), below[2] if len(below) > 3 else ""
        if location in own and folder not in own[location] and WRITER.fullmatch(folder):
            sizes[f"{location}/{folder}"] = sizes.get(f"{location}/{folder}", 0) + int(entry["size"])
    for path, size in sizes.items():
        yield Garbage("folder without record", path, size, "its artifact was replaced by a refresh, or its writer came too late")


def _idle_work(store: Store, wanted_since: float) -> Iterator[Garbage]:
    if store.local_root is None:
        return
    for name in _folders(store, ".staging", hidden=False):
        path = f".staging/{name}"
        entries = store.fs.find(f"{store.root}/{path}", withdirs=True, detail=True).values()
        times = [float(entry["mtime"]) for entry in entries]
        changed = max([*times, (store.local_root / path).stat().st_mtime])
        found = WORK.fullmatch(name)
        locks = (store.local_root / ".locks").glob(f"{found['key']}*.lock") if found else ()
        if changed > time.time() - IDLE.total_seconds() or changed >= wanted_since or any(is_locked(lock) for lock in locks):
            continue
        yield Garbage("work in progress", path, sum(int(e["size"]) for e in entries if e["type"] == "file"), f"idle for {_days(changed)}")


def _quarantined(store: Store) -> Iterator[Garbage]:
    for name in _folders(store, ".quarantine", hidden=False):
        path = f".quarantine/{name}"
        try:
            since = store.fs.modified(f"{store.root}/{path}/{DAMAGE_REPORT}").timestamp()
        except FileNotFoundError:
            continue
        if time.time() - since > QUARANTINE.total_seconds():
            yield Garbage("quarantined", path, _bytes_below(store, path), f"damaged, and quarantined {_days(since)} ago")


def _acceptances(store: Store, addresses: Collection[str]) -> Iterator[Garbage]:
    for acceptance in acceptances(store):
        if acceptance.instead not in addresses:
            yield Garbage("acceptance", acceptance.file, 0, f"the {acceptance.stage} that it refers to is not kept")


def _traces(store: Store, named: Collection[str]) -> Iterator[Garbage]:
    for name in store.names(TRACES):
        if name.removesuffix(".json") not in named:
            yield Garbage("trace", f"{TRACES}/{name}", _bytes_below(store, f"{TRACES}/{name}"), "no artifact that is kept names it")


def _locks(store: Store) -> Iterator[Garbage]:
    for folder in (".locks", RUNS):
        for name in store.names(folder):
            path = f"{folder}/{name}"
            if store.local_root is not None:
                free = name.endswith(".lock") and name != STORE_LOCK and not is_locked(store.local_root / path)
            else:
                lease = (folder == ".locks" and name != STORE_LOCK) or (folder == RUNS and name.endswith(".lock"))
                free = lease and not is_leased(store.fs, f"{store.root}/{path}")
            if free:
                yield Garbage("lock", path, 0, "nobody holds it")


def _partial_files(store: Store) -> Iterator[Garbage]:
    """Yield files whose writer was killed; their names begin with a dot until they are complete."""
    if store.local_root is None:
        return
    for folder in (RUNS, ACCEPTED, APPROVED, TRACES):
        for path in sorted((store.local_root / folder).glob(".*.json-*")):
            yield Garbage("half-written file", f"{folder}/{path.name}", path.stat().st_size, "its writer was killed")


def _folders(store: Store, folder: str, *, hidden: bool = True) -> list[str]:
    """List the folders below a folder that are hidden, or that are not."""
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


@dataclass(frozen=True)
class VerificationReport:
    """How much was read, and what is damaged. `old`: how many artifacts are of which other version of folio, which are not reused."""

    artifacts: int
    size: int
    old: dict[str, int]
    damaged: tuple[Damaged, ...]


def verify_artifacts(store: Store) -> VerificationReport:
    """Read every file and compare it with its record, showing progress."""
    journal = Journal(store)
    runs = journal.records()
    locations = [location for stage in store.index.stages() for location in store.index.locations(stage)]
    found = {location: store.index.read(location) for location in locations}
    artifacts = [artifact for artifact in found.values() if isinstance(artifact, Artifact)]
    damaged = {location: read for location, read in found.items() if isinstance(read, Damaged) and not isinstance(read, OtherFormat)}
    for location, artifact in found.items():
        if isinstance(artifact, Artifact) and (problems := tuple(_record_problems(store, location, artifact))):
            damaged[location] = Damaged(location, problems)
    meter = ProgressMeter("verify")
    sound = [artifact for location, artifact in found.items() if isinstance(artifact, Artifact) and location not in damaged]
    for done, (artifact, problems) in enumerate(store.integrity.examine(sound), start=1):
        if problems:
            damaged[artifact.location] = Damaged(artifact.location, problems)
        meter.show(done, len(sound), "artifacts")
    if not any(journal.alive(run) for run in runs):
        stages = {artifact.stage for artifact in artifacts} | {recorded.stage for run in runs for recorded in run.positions.values()}
        damaged |= {waste.path: Damaged(waste.path, (f"{RECORD} is missing",)) for waste in folders_without_record(store, stages)}
    for recipe in sorted({run.recipe for run in runs}):
        for recorded in journal.latest_positions(recipe).values():
            if store.index.read(recorded.location) is None and recorded.location not in damaged:
                damaged[recorded.location] = Damaged(recorded.location, (f"it is gone, and the newest run of {recipe} used it",))
    size = sum(file.size for artifact in artifacts for file in artifact.files)
    old = Counter(age for read in found.values() if (age := age_of(store, read)))
    return VerificationReport(len(artifacts), size, dict(old), tuple(damaged[location] for location in sorted(damaged)))


def _record_problems(store: Store, location: str, artifact: Artifact) -> Iterator[str]:
    if artifact.location != location:
        yield f"{RECORD} belongs to {artifact.location}"
    elif artifact.digest != content_digest(artifact.files):
        yield f"the digest in {RECORD} does not match its list of files"
    elif artifact.trace:
        for name in dict.fromkeys((artifact.trace, artifact.marks)):
            if read_trace(store, name) is None:
                yield f"{TRACES}/{name}.json, which says what it has read, is missing or damaged"
