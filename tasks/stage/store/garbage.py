"""What a store holds that nothing needs any more: told first, deleted only when asked.

Kept are, with everything they were made from: the newest finished runs of each recipe; runs under way; the runs since the newest
finished one whose work their continuation would reuse; runs named; and whatever was ever registered as a model. Everything is kept in
a store whose journal is empty, and what was made before the journal's first run unless that is asked for, too.

Guarantees: what was made from something goes before it, and a record before its files, so a collection that is killed leaves whole
artifacts with their whole lineage, and folders that the next one takes. Nothing is deleted while a run is under way; the error names the
run. Records of runs stay: they are small and say what was. It reads every record, about 0.1 ms each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from tasks.stage.store.acceptance import acceptances
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.leftovers import Waste, leftovers
from tasks.stage.store.store import Store, StoreError
from tasks.stage.tracking.journal import Journal, RunRecord


@dataclass(frozen=True)
class Kept:
    """A run whose artifacts stay."""

    run: RunRecord
    why: str


@dataclass(frozen=True)
class Survey:
    """What stays and what can go. `recorded`: whether the store has a journal; without one everything stays."""

    recorded: bool
    runs: tuple[Kept, ...] = ()
    artifacts: int = 0
    size: int = 0
    unrecorded: int = 0
    waste: tuple[Waste, ...] = ()


def collect(store: Store, *, delete: bool, keep: int, named: Sequence[str] = (), unrecorded: bool = False) -> Survey:
    """What can go and, with `delete`, is gone. `keep`: finished runs of each recipe; `named`: more runs; `unrecorded`: what is older than
    the journal goes, too. Raises StoreError when a run is under way, LookupError when a named run does not exist."""
    if not delete:
        return survey(store, keep=keep, named=named, unrecorded=unrecorded)
    with alone(store):
        found = survey(store, keep=keep, named=named, unrecorded=unrecorded)
        for waste in found.waste:
            store.discard(waste.path)
        if store.checker.digests is not None:
            store.checker.digests.prune()
    return found


def survey(store: Store, *, keep: int, named: Sequence[str] = (), unrecorded: bool = False) -> Survey:
    """What stays and what can go, by the records alone. Raises LookupError when a named run does not exist."""
    journal = Journal(store)
    runs = journal.records()
    artifacts = list(store.records())
    if not runs:
        return Survey(False, artifacts=len(artifacts), size=sum(map(_size, artifacts)))
    kept = kept_runs(runs, keep, {journal.get(text).id for text in named}, {run.id for run in runs if journal.alive(run)})
    users = {place.location: run for run in reversed(runs) for place in run.places.values()}
    older = [] if unrecorded else [a for a in artifacts if a.location not in users and a.origin.created < runs[-1].started]
    roots = {place.location for found in kept for place in found.run.places.values()}
    roots |= {place.key for found in kept for place in found.run.places.values()}
    roots |= {registered.location for run in runs for registered in run.registered} | {artifact.location for artifact in older}
    roots |= {acceptance.instead for acceptance in acceptances(store) if acceptance.key in roots}
    needed = _needed(artifacts, roots)
    staying = [artifact for artifact in artifacts if artifact.key in needed]
    going = sorted((a for a in artifacts if a.key not in needed), key=lambda a: a.origin.created, reverse=True)
    unfinished = [datetime.fromisoformat(found.run.started).timestamp() for found in kept if found.run.status != "finished"]
    stages = {artifact.stage for artifact in artifacts} | {place.stage for run in runs for place in run.places.values()}
    rest = leftovers(store, stages, {artifact.key for artifact in staying}, min(unfinished, default=float("inf")))
    waste = (*(Waste("artifact", a.location, _size(a), _why(users.get(a.location))) for a in going), *rest)
    return Survey(True, tuple(kept), len(staying), sum(map(_size, staying)), len(older), waste)


def kept_runs(runs: Iterable[RunRecord], keep: int, named: set[str], alive: set[str]) -> list[Kept]:
    """Which of the runs, newest first, are kept, and why."""
    kept: list[Kept] = []
    finished: dict[str, int] = {}
    standing: dict[str, set[str]] = {}
    for run in runs:
        places = standing.setdefault(run.recipe, set())
        done = finished.get(run.recipe, 0)
        if run.id in alive:
            kept.append(Kept(run, "it is under way"))
        elif run.status == "finished":
            finished[run.recipe] = done + 1
            if done < keep:
                kept.append(Kept(run, "among the newest finished ones"))
            elif run.id in named:
                kept.append(Kept(run, "named"))
        elif run.id in named:
            kept.append(Kept(run, "named"))
        elif done == 0 and (not places or run.places.keys() - places):
            kept.append(Kept(run, f"{'crashed' if run.status == 'running' else run.status} since the newest finished one; to be continued"))
        places.update(run.places)
    return kept


def _needed(artifacts: Iterable[Artifact], roots: set[str]) -> set[str]:
    """Keys of everything that the roots, given by location or key, were made from, and their own."""
    inputs: dict[str, set[str]] = {}
    waiting = []
    for artifact in artifacts:
        inputs.setdefault(artifact.key, set()).update(given.key for given in artifact.inputs.values())
        if artifact.location in roots or artifact.key in roots:
            waiting.append(artifact.key)
    needed: set[str] = set()
    while waiting:
        key = waiting.pop()
        if key in inputs and key not in needed:
            needed.add(key)
            waiting += inputs[key]
    return needed


def _size(artifact: Artifact) -> int:
    return sum(file.size for file in artifact.files)


def _why(user: RunRecord | None) -> str:
    return f"last used by run {user.id} of {user.recipe}, which is not kept" if user else "no recorded run used it"


@contextmanager
def alone(store: Store) -> Iterator[None]:
    """Have the store to oneself. Raises StoreError naming the run that is under way."""
    journal = Journal(store)

    def under_way() -> list[str]:
        return [f"run {run.id} of {run.recipe} (process {run.pid} on {run.host})" for run in journal.records() if journal.alive(run)]

    try:
        with store.to_itself():
            if store.local_root is None and (runs := under_way()):
                raise StoreError(_refusal(store, runs))
            yield
    except BlockingIOError:
        raise StoreError(_refusal(store, under_way() or ["a run"])) from None


def _refusal(store: Store, runs: list[str]) -> str:
    return f"{store.url} is in use: {', '.join(runs)} is under way, so nothing is deleted. Wait for it to end, then give the command again."
