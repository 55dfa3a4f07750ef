"""Execute the decided calls of a stage as Prefect tasks: reuse or make each artifact, and report it to the journal and the terminal.

Shards that must run are mapped over the run's worker pool (`resources.runner`), as many at once as it has workers, which share the threads
and the memory that the recipe allows; a single call runs in the caller's thread and gets all of both.

Prefect's cache gets folio's keys: its own policies see only the text of the decorated function (`TASK_SOURCE`) or put the run into the key
(`DEFAULT`). The key is computed, and the artifact chosen among a key's several, before the task is called. The stored result is a stage and
an address; one that the run does not reuse, or that is gone or damaged, counts as a miss.

A key is executed once at a time across all processes. A worker of a cluster must see the same root, home and store, and have the same
libraries as far as it loads them; otherwise it raises WorkerMismatch and makes nothing.

After a transient fault the task run waits as AwaitingRetry, each time twice as long. An interrupt ends the wait of the run's own process.

The journal is written when a stage begins to execute and when it has ended, so the record of a killed run shows how far it got. Reused
stages are written with the next one that executes, or at the run's end.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import Any, Literal
from uuid import UUID, uuid4

from prefect import Task, task
from prefect.cache_policies import CachePolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.runtime import task_run as current_task_run
from prefect.serializers import Serializer
from prefect.task_engine import run_task_sync

from tasks.stage.execution.bodies.body_errors import is_transient
from tasks.stage.execution.execute_stage import delete_left, execute_stage, work_base
from tasks.stage.execution.job import BufferedReporter, JobContext, Outcome, Reporter, StageCall, StageJob, WorkerMismatch
from tasks.stage.execution.plan import Decision, find_reusable
from tasks.stage.execution.run import PipelineRun, current_run
from tasks.stage.identity.key import stable
from tasks.stage.identity.tracing.libraries import installed
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.journal import PositionRecord, StageRecord
from tasks.stage.store.origin import now
from tasks.stage.store.store import Damaged
from tasks.stage.system.interrupts import raise_if_interrupted, was_interrupted
from tasks.stage.system.locks import LeaseLost
from tasks.stage.system.progress import format_duration, log, stage_done

FIRST_SECONDS, LONGEST_SECONDS = 2, 60
ATTEMPTS = 5
"""How often a lock may be lost to suspensions before the run gives up."""


def delays(retries: int) -> list[float]:
    """Return the seconds before each retry."""
    return [float(min(FIRST_SECONDS * 2**number, LONGEST_SECONDS)) for number in range(retries)]


def may_pass(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Return whether to run a failed task again, and say so. Prefect asks only while retries are left."""
    error = state.data
    if not isinstance(error, Exception) or not is_transient(error) or was_interrupted():
        return False
    seconds = delays(task.retries)[run.run_count - 1]
    first = next(iter(str(error).splitlines()), "").rstrip(".")
    again = f"runs again in {seconds:g} s (retry {run.run_count} of {task.retries})"
    log(f"{run.name}: {type(error).__name__}: {first}; {again}")
    return True


def retries_so_far() -> int:
    """Return how often the current task was run again."""
    return max(0, int(current_task_run.run_count or 0) - 1)


class StageKey(CachePolicy):
    """The stage key, passed as the task's `key` argument."""

    def compute_key(self, task_ctx: TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any], **kwargs: Any) -> str | None:
        """Return the key of this call, prefixed with the stage's name for people."""
        return f"{inputs['position'].split('.')[0]}-{inputs['key']}"


class VerifiedRecord(Serializer):
    """Serializes a reference to an artifact; deserializes it only if the run has decided to reuse that artifact and it is still intact."""

    type: Literal["folio-record"] = "folio-record"

    def dumps(self, obj: Outcome) -> bytes:
        """Return `{"stage": ..., "address": ...}`."""
        if not isinstance(obj, Outcome):
            raise TypeError(f"A stage's task returned {type(obj).__name__}; only an Outcome passes between tasks.")
        return json.dumps({"stage": obj.artifact.stage, "address": obj.artifact.address}).encode()

    def loads(self, blob: bytes) -> Outcome:
        """Return the verified artifact, not executed. Raises LookupError, a cache miss to Prefect, if it is not the one to reuse."""
        reference, run = json.loads(blob), current_run()
        wanted = (decision.artifact for decision in reversed(run.decisions) if decision.artifact is not None)
        found = next((artifact for artifact in wanted if artifact.address == reference["address"]), None)
        if found is None or run.store.check(found, digests=False):
            raise LookupError(f"{reference['stage']} {reference['address'][:8]} is gone or damaged, or what it has read has changed")
        return Outcome(found, executed=False)


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


class RunReporter:
    """Reports one stage at one position of a run."""

    on_terminal = True

    def __init__(self, run: PipelineRun, position: str, call: StageCall) -> None:
        self._run, self._position, self._call = run, position, call
        self._opening = threading.Lock()

    def start(self) -> None:
        """Record that the stage executes, unless that is recorded."""
        with self._opening:
            if self._position not in self._run.stages:
                self._record("executing", now())
                self._run.save()

    def series(self, rows: list[tuple[str, float, int]]) -> None:
        """Record (metric, value, step) rows."""
        if rows:
            self._run.series.add(self._position, rows)

    def failed(self, error: BaseException) -> None:
        """Record that the stage failed, or was stopped if the error is not an Exception (Ctrl-C, a signal); the run's end follows."""
        if begun := self._run.stages.get(self._position):
            notes = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
            message = " ".join(f"{type(error).__name__}: {error}{notes}".split())[:1000]
            ended = {"status": "failed" if isinstance(error, Exception) else "stopped", "ended": now(), "error": message}
            self._run.stages[self._position] = begun.model_copy(update=ended)

    def done(self, made: Mapping[str, Artifact], executed: Set[str], decisions: Mapping[str, Decision], retries: Mapping[str, int]) -> None:
        """Record the artifacts of all shards. `executed`: positions that were executed; `retries`: how often each was run again."""
        run = self._run
        run.artifacts |= made
        reused = {position: artifact for position, artifact in made.items() if position not in executed}
        run.reused |= set(reused)
        for position, artifact in made.items():
            decision = decisions[position]
            run.positions[position] = PositionRecord(
                stage=artifact.stage,
                key=decision.key,
                address=artifact.address,
                digest=artifact.digest,
                location=artifact.location,
                action="executed" if position in executed else "reused",
                causes=decision.causes,
                accepted=decision.reason,
                retries=retries[position],
            )
        begun = run.stages.get(self._position)
        self._record("executed" if executed else "reused", begun.began if begun else now(), now())
        self._log(made, reused, decisions)
        if executed:
            run.save()

    def _record(self, status: Literal["executing", "executed", "reused"], began: str, ended: str = "") -> None:
        given = stable(self._call.config, self._position) if status != "reused" else {}
        self._run.stages[self._position] = StageRecord(
            status=status,
            began=began,
            ended=ended,
            key=self._call.decision.key,
            config=given if isinstance(given, dict) else {},
            is_model=self._call.is_model,
        )

    def _log(self, made: Mapping[str, Artifact], reused: Mapping[str, Artifact], decisions: Mapping[str, Decision]) -> None:
        if len(made) > 1 and reused:
            log(f"{self._position}: reused {len(reused)} of {len(made)} shards")
            return
        for position, artifact in reused.items():
            instead = f", accepted instead of running it again: {decisions[position].reason}" if decisions[position].reason else ""
            log(f"{position}: reused {artifact.name}{instead}")


def execute(run: PipelineRun, position: str, calls: Sequence[StageCall]) -> list[Artifact]:
    """Return the artifacts of a stage's calls, in their order, reused or made. Raises what a body raises."""
    raise_if_interrupted()
    reporter = RunReporter(run, position, calls[0])
    context = JobContext(run.store, run.root, run.home, run.record.id, run.started, run.traces, installed(run.traces.cache).versions)
    retries = run.resources.retries
    cached = run_task.with_options(
        name=position,
        result_storage=run.home / "prefect-results",
        retries=retries,
        retry_delay_seconds=delays(retries),
        retry_condition_fn=may_pass,
    )
    to_run = [call for call in calls if call.decision.action == "run"]
    if to_run:
        run.options.working.set()
    outcomes: dict[str, Outcome] = {}

    def done(job: StageJob, outcome: Outcome, task_run: UUID) -> None:
        made, name = outcome.artifact, job.call.decision.position
        outcomes[name] = outcome
        run.graph.returned(made, task_run)
        reporter.series(list(outcome.rows))
        if outcome.executed:
            tries = f", at try {outcome.retries + 1}" if outcome.retries else ""
            log(f"{name}: done in {format_duration(made.cost.wall_seconds)}{tries}, {made.name}")

    try:
        for call in calls:
            if call not in to_run:
                job = StageJob(context, call, run.resources, reporter)
                done(job, *_run_here(run, cached, job))
        mapped = calls[0].shard is not None and run.pool.takes(len(to_run))
        resources = run.pool.share(len(to_run)) if mapped else run.resources
        elsewhere = mapped and run.pool.elsewhere
        pool = "" if calls[0].shard else run.resources.pools.get(calls[0].decision.stage, "")
        uncached = cached.with_options(refresh_cache=True) if to_run else cached
        # A worker can't write this run's record, so it is done here.
        if to_run and (elsewhere or pool):
            reporter.start()
        job_reporter: Reporter = BufferedReporter() if elsewhere else reporter
        jobs = [StageJob(context, call, resources, job_reporter, pool) for call in to_run]
        if mapped:
            run.pool.run(uncached, jobs, done, run.graph)
        else:
            for job in jobs:
                done(job, *_run_here(run, uncached, job))
    except BaseException as error:
        reporter.failed(error)
        raise
    artifacts = {call.decision.position: outcomes[call.decision.position].artifact for call in calls}
    executed = {name for name, outcome in outcomes.items() if outcome.executed}
    tried = {name: outcome.retries for name, outcome in outcomes.items()}
    reporter.done(artifacts, executed, {call.decision.position: call.decision for call in calls}, tried)
    stage_done(position)
    return list(artifacts.values())


def _run_here(run: PipelineRun, task: Task[..., Outcome], job: StageJob) -> tuple[Outcome, UUID]:
    """Run a job's task in this thread; return what it returns, and the id of the task run."""
    task_run, inputs = uuid4(), run.graph.inputs(job.call.given().values())
    outcome = run_task_sync(task, task_run_id=task_run, parameters=job.parameters(), dependencies=inputs)
    assert isinstance(outcome, Outcome)
    return outcome, task_run
