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

from prefect import task

from tasks.stage.execution.execute_stage import execute_stage
from tasks.stage.execution.job import BufferedReporter, JobContext, Outcome, StageJob
from tasks.stage.execution.plan import find_reusable
from tasks.stage.execution.prefect_cache import StageKey, VerifiedRecord
from tasks.stage.execution.stage_call import StageCall
from tasks.stage.identity.fingerprint import freeze
from tasks.stage.identity.key import library_versions
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.store import Damaged
from tasks.stage.system.progress import log


class WorkerMismatch(RuntimeError):
    """A cluster's worker is not set up to do what was asked of it."""


@task(task_run_name="{position}", cache_policy=StageKey(), persist_result=True, result_serializer=VerifiedRecord())
def run_task(position: str, key: str, job: StageJob) -> Outcome:
    """What a place has under a key: found, or made now."""
    return run_job(job)


def run_job(job: StageJob) -> Outcome:
    """The artifact of a call, found or made now. Raises what the body raises, and WorkerAstray in a worker that can't do it."""
    site, call, position, key = job.site, job.call, job.call.decision.position, job.call.decision.key
    buffer = job.reporter if isinstance(job.reporter, BufferedReporter) else None
    if buffer is not None:
        logging.getLogger("folio").setLevel(logging.INFO)
        _require_the_same(site, call)
    with site.store.lock(key, lambda: log(f"{position}: another run is making this; waiting for it")):
        verify = call.decision.damaged is not None
        found, _, _ = find_reusable(site.store, call.decision.stage, key, verify=verify, label=call.label)
        if isinstance(found, Artifact) and (not call.decision.refresh or found.origin.created > site.started):
            return Outcome(found, executed=False)
        if isinstance(found, Damaged):
            aside, what = site.store.quarantine(found), f"{found.location} was damaged ({'; '.join(found.problems)})"
            log(f"{position}: {what}; it was put aside in {aside} and is made again")
        log(f"{position}: runs because {'; '.join(call.decision.causes[:3]) or 'its artifact is gone'}")
        artifact = execute_stage(site, call, job.resources, job.reporter)
    return Outcome(artifact, executed=True, rows=tuple(buffer.rows) if buffer else ())


def _require_the_same(site: JobContext, call: StageCall) -> None:
    """Raises WorkerAstray for what this process hasn't or has otherwise."""
    who = f"{call.decision.position}: the worker on {socket.gethostname()}"
    paths = (site.root, site.home, *([site.store.local_root] if site.store.local_root else []))
    if unseen := [str(path) for path in paths if not path.is_dir()]:
        raise WorkerMismatch(f"{who} has no {', '.join(unseen)}; workers must see the root, folio's home and the store at the same paths.")
    freeze([(call.body.__module__, call.body.__name__)], site.home / "cache" / "fingerprints")
    if other := call.edited(seen=call.of_kind("code")):
        raise WorkerMismatch(
            f"{who} has other code than this run: {', '.join(other[:5])}. Start the cluster's workers anew from this checkout."
        )
    wanted = call.of_kind("library")
    try:
        versions = library_versions(tuple(wanted))
    except PackageNotFoundError as error:
        raise WorkerMismatch(f"{who} lacks a library: {error}.") from error
    if strange := [
        f"{name} {versions[f'library.{name}']} instead of {value}" for name, value in wanted.items() if versions[f"library.{name}"] != value
    ]:
        raise WorkerMismatch(f"{who} has {', '.join(strange)}; install the same versions there.")
