"""One call carried out as a Prefect task, in this process or in a worker of a cluster.

Guarantees: one execution of a key at a time, wherever it takes place; a call whose artifact has come to be in the meantime gives that one.
All that the task is given can be pickled, unless it tells a run of this process. A worker elsewhere must see the same root, home and
store, hold the same code and have the same libraries: what it would make otherwise would not be what the key stands for, so it refuses
by name and makes nothing.
"""

from __future__ import annotations

import logging
import socket
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

from prefect import task

from tasks.stage.call import Call
from tasks.stage.execution.execute_stage import Site, Telling, make
from tasks.stage.execution.plan import settled
from tasks.stage.execution.prefect_cache import Outcome, StageKey, VerifiedRecord
from tasks.stage.execution.resources import Resources
from tasks.stage.identity.fingerprint import freeze
from tasks.stage.identity.key import library_versions
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.store import Damaged
from tasks.stage.tracking.progress import say


class WorkerAstray(RuntimeError):
    """A cluster's worker is not set up to do what was asked of it."""


class Notes:
    """What a worker has to tell, kept until its run can show it."""

    on_terminal = False

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id
        self.rows: list[tuple[str, float, int]] = []

    def begun(self) -> str:
        """The stage's MLflow run, which was opened before."""
        return self._run_id

    def series(self, rows: list[tuple[str, float, int]]) -> None:
        """Keep rows."""
        self.rows += rows

    def model(self, call: Call, digest: str, location: str, output: Path) -> tuple[str, Exception | None]:
        """No model is made shard by shard (`Stage.over` sees to it)."""
        raise NotImplementedError(call.decision.place)


class Work:
    """A call with all that it takes to carry it out; no dataclass, since Prefect and Dask would look for other tasks' results in one."""

    def __init__(self, site: Site, call: Call, resources: Resources, telling: Telling) -> None:
        self.site, self.call, self.resources, self.telling = site, call, resources, telling

    def parameters(self) -> dict[str, Any]:
        """What the task is given."""
        return {"place": self.call.decision.place, "key": self.call.decision.key, "work": self}


@task(task_run_name="{place}", cache_policy=StageKey(), persist_result=True, result_serializer=VerifiedRecord())
def carry_out(place: str, key: str, work: Work) -> Outcome:
    """What a place has under a key: found, or made now."""
    return carried_out(work)


def carried_out(work: Work) -> Outcome:
    """The artifact of a call, found or made now. Raises what the body raises, and WorkerAstray in a worker that can't do it."""
    site, call, place, key = work.site, work.call, work.call.decision.place, work.call.decision.key
    notes = work.telling if isinstance(work.telling, Notes) else None
    if notes is not None:
        logging.getLogger("folio").setLevel(logging.INFO)
        _require_the_same(site, call)
    with site.store.lock(key, lambda: say(f"{place}: another run is making this; waiting for it")):
        verify = call.decision.damaged is not None
        found, _, _ = settled(site.store, call.decision.stage, key, verify=verify, label=call.label)
        if isinstance(found, Artifact) and (not call.decision.refresh or found.origin.created > site.started):
            return Outcome(found, executed=False)
        if isinstance(found, Damaged):
            aside, what = site.store.quarantine(found), f"{found.location} was damaged ({'; '.join(found.problems)})"
            say(f"{place}: {what}; it was put aside in {aside} and is made again")
        say(f"{place}: runs because {'; '.join(call.decision.causes[:3]) or 'its artifact is gone'}")
        artifact = make(site, call, work.resources, work.telling)
    return Outcome(artifact, executed=True, rows=tuple(notes.rows) if notes else ())


def _require_the_same(site: Site, call: Call) -> None:
    """Raises WorkerAstray for what this process hasn't or has otherwise."""
    who = f"{call.decision.place}: the worker on {socket.gethostname()}"
    places = (site.root, site.home, *([site.store.local_root] if site.store.local_root else []))
    if unseen := [str(place) for place in places if not place.is_dir()]:
        raise WorkerAstray(f"{who} has no {', '.join(unseen)}; workers must see the root, folio's home and the store at the same paths.")
    freeze([(call.body.__module__, call.body.__name__)], site.home / "cache" / "fingerprints")
    if other := call.edited(seen=call.of_kind("code")):
        raise WorkerAstray(
            f"{who} has other code than this run: {', '.join(other[:5])}. Start the cluster's workers anew from this checkout."
        )
    wanted = call.of_kind("library")
    try:
        versions = library_versions(tuple(wanted))
    except PackageNotFoundError as error:
        raise WorkerAstray(f"{who} lacks a library: {error}.") from error
    if strange := [
        f"{name} {versions[f'library.{name}']} instead of {value}" for name, value in wanted.items() if versions[f"library.{name}"] != value
    ]:
        raise WorkerAstray(f"{who} has {', '.join(strange)}; install the same versions there.")
