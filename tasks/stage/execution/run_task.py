"""Run one job as a Prefect task, in this process or in a worker of a cluster.

A key is executed once at a time across all processes; if its artifact has appeared meanwhile, that one is returned. A worker elsewhere
must see the same root, home and store; it executes the run's own source, and must have the same libraries as far as it loads them. If not,
it raises WorkerMismatch and makes nothing.
"""

from __future__ import annotations

import logging
import socket
from dataclasses import replace

from prefect import task

from tasks.stage.execution.execute_stage import execute_stage, work_base
from tasks.stage.execution.job import BufferedReporter, JobContext, Outcome, StageJob, WorkerMismatch
from tasks.stage.execution.plan import find_reusable
from tasks.stage.execution.prefect_cache import StageKey, VerifiedRecord
from tasks.stage.execution.retrying import retries_so_far
from tasks.stage.execution.stage_call import StageCall
from tasks.stage.execution.work_folder import delete_left
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.store import Damaged
from tasks.stage.system.interrupts import raise_if_interrupted
from tasks.stage.system.locks import LeaseLost
from tasks.stage.system.progress import log

ATTEMPTS = 5
"""How often a lock may be lost to suspensions before the run gives up."""


@task(task_run_name="{position}", cache_policy=StageKey(), persist_result=True, result_serializer=VerifiedRecord())
def run_task(position: str, key: str, job: StageJob) -> Outcome:
    """Return the artifact of a key, found or made now, here or in a worker of another work pool."""
    if job.pool:
        from tasks.stage.execution.pools.run_side import run_in_pool

        return replace(run_in_pool(job), retries=retries_so_far())
    return run_job(job)


def run_job(job: StageJob) -> Outcome:
    """Return the artifact of a call, found or made now.

    Raises what the body raises, WorkerMismatch in a worker that differs, and LeaseLost if the lock is lost again and again.
    """
    raise_if_interrupted()
    context, call, position = job.context, job.call, job.call.decision.position
    buffer = job.reporter if isinstance(job.reporter, BufferedReporter) else None
    if buffer is not None:
        logging.getLogger("folio").setLevel(logging.INFO)
        _require_same_setup(context, call)
    tokens: list[str] = []
    while True:
        try:
            outcome = _make(job, tokens)
            if tokens[:-1]:
                delete_left(work_base(context.store, call), tokens[:-1])
            return replace(outcome, rows=tuple(buffer.rows) if buffer else (), retries=retries_so_far())
        except LeaseLost as error:
            raise_if_interrupted()
            if len(tokens) == ATTEMPTS:
                raise
            log(
                f"{position}: this process was suspended, or did not reach the store, for longer than its lock lasts ("
                f"{context.store.lease_seconds:g} s); it commits nothing, and asks for the lock again to use or to finish what is there"
            )
            logging.getLogger("folio").debug("%s", error)


def _make(job: StageJob, tokens: list[str]) -> Outcome:
    """Return the artifact of a call, found or made under the key's lock, whose token is added to `tokens`. Raises LeaseLost."""
    context, call, position, key = job.context, job.call, job.call.decision.position, job.call.decision.key
    with context.store.lock(key, lambda who: log(f"{position}: another run is making this; waiting for it ({who})")) as lock:
        tokens.append(lock.token)
        # Another run may have replaced a damaged artifact meanwhile, so check it again, by digest.
        verify = call.decision.damaged is not None
        found, _, _ = find_reusable(context.store, context.traces, call.decision.stage, key, verify=verify)
        # For a refresh, an artifact is new enough if another run has made it since this run began.
        if isinstance(found, Artifact) and (not call.decision.refresh or found.origin.created > context.started):
            return Outcome(found, executed=False)
        if isinstance(found, Damaged):
            quarantined, damage = context.store.quarantine(found, lock), f"{found.location} was damaged ({'; '.join(found.problems)})"
            log(f"{position}: {damage}; it was moved to {quarantined} and is made again")
        log(f"{position}: runs because {'; '.join(call.decision.causes[:3]) or 'its artifact is gone'}")
        old = found if isinstance(found, Artifact) else None
        artifact = execute_stage(context, call, job.resources, job.reporter, lock, old)
    if artifact.origin.run_id != context.run_id:
        log(f"{position}: another run has committed {artifact.name} meanwhile, which is used; what was made here is dropped")
        return Outcome(artifact, executed=False)
    return Outcome(artifact, executed=True)


def _require_same_setup(context: JobContext, call: StageCall) -> None:
    """Raise WorkerMismatch if this process does not see the run's folders."""
    paths = (context.root, context.home, context.snapshot, *([context.store.local_root] if context.store.local_root else []))
    if unseen := [str(path) for path in paths if not path.exists()]:
        raise WorkerMismatch(
            f"{call.decision.position}: the worker on {socket.gethostname()} has no {', '.join(unseen)}; workers must see the root, "
            "folio's home and the store at the same paths."
        )
