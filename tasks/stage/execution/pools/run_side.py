"""Hand a stage's job to a worker of another work pool, and stand in for it in the run.

The worker runs the deployment `folio-stage/<pool>` as a sub flow run; it sees the run's root, home and store at the same paths. What it
logs and measures is passed on as it comes, its artifact is returned, its error is raised. If the run is interrupted, so is the worker,
which stops at a checkpoint. A lost worker is a transient fault: another one continues the stage from its checkpoint.

The job travels as plain JSON, never pickled:

    job.json      the call and its surroundings
    events.jsonl  what the worker reports while it works: log lines and metric rows
    result.json   the artifact, or the error, or what was kept when it was stopped
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.objects import State
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Cancelled, Cancelling
from pydantic import BaseModel, Field

from tasks.stage.execution.bodies.body_errors import imported, rebuild
from tasks.stage.execution.job import JobContext, Outcome, Reporter, StageCall, StageJob
from tasks.stage.execution.plan import Decision
from tasks.stage.execution.trace_check import TraceChecker
from tasks.stage.identity.digests import DigestCache
from tasks.stage.identity.tracing.source import Source
from tasks.stage.store.artifact import Artifact, ArtifactPart, ShardedArtifact
from tasks.stage.store.store import Damaged, Store
from tasks.stage.system.interrupts import raise_if_interrupted
from tasks.stage.system.progress import format_duration, log

JOB, EVENTS, RESULT = "job.json", "events.jsonl", "result.json"
FLOW = "folio-stage"
POLL_SECONDS = 1.0
SILENT_SECONDS = 10.0
"""A worker looks for work every 10 to 15 seconds, so no wait is worth a word before."""
STOP_SECONDS = 120.0
END_SECONDS = 30.0


class Typed(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """A pydantic value with the module and the name of its class."""

    module: str
    qualname: str
    value: str = Field(description="JSON")

    @classmethod
    def of(cls, model: BaseModel) -> Typed:
        """Describe a value."""
        plain = model.model_dump(mode="json", by_alias=False, round_trip=True)
        return cls(module=type(model).__module__, qualname=type(model).__qualname__, value=json.dumps(plain, sort_keys=True))

    def read(self) -> Any:
        """Return the value."""
        return imported(self.module, self.qualname).model_validate_json(self.value)


class JobFile(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """A job for another machine. The worker sees the same paths as the run."""

    body: tuple[str, str] = Field(description="module and name")
    is_model: bool
    judges: bool
    label: str
    config: Typed
    resources: Typed
    inputs: dict[str, Artifact | ArtifactPart | ShardedArtifact]
    ingredients: dict[str, str]
    position: str
    stage: str
    key: str
    causes: tuple[str, ...]
    refresh: bool
    damaged: tuple[str, tuple[str, ...]] | None = Field(description="location and problems of the artifact that it replaces")
    store: str
    root: Path
    home: Path
    snapshot: Path
    run_id: str
    started: str = Field(description="when the run began; UTC, ISO 8601")
    packages: dict[str, str]

    @classmethod
    def of(cls, job: StageJob) -> JobFile:
        """Describe a job."""
        context, call, decision = job.context, job.call, job.call.decision
        return cls(
            body=(call.body.__module__, call.body.__qualname__),
            is_model=call.is_model,
            judges=call.judges,
            label=call.label,
            config=Typed.of(call.config),
            resources=Typed.of(job.resources),
            inputs=dict(call.inputs),
            ingredients=dict(call.ingredients),
            position=decision.position,
            stage=decision.stage,
            key=decision.key,
            causes=decision.causes,
            refresh=decision.refresh,
            damaged=(decision.damaged.location, decision.damaged.problems) if decision.damaged else None,
            store=context.store.url,
            root=context.root,
            home=context.home,
            snapshot=context.snapshot,
            run_id=context.run_id,
            started=context.started,
            packages=dict(context.packages),
        )

    def job(self, reporter: Reporter) -> StageJob:
        """Return the job, for this process."""
        store = Store(self.store, self.home / "cache" / "artifacts", DigestCache(self.home / "cache" / "digests.db"))
        traces = TraceChecker(store, Source.opened(self.snapshot), self.home / "cache" / "traces")
        context = JobContext(store, self.root, self.home, self.run_id, self.started, traces, self.packages)
        decision = Decision(
            self.position,
            self.stage,
            "run",
            self.causes,
            self.key,
            damaged=Damaged(*self.damaged) if self.damaged else None,
            refresh=self.refresh,
            ingredients=self.ingredients,
        )
        stage = imported(*self.body)
        call = StageCall(
            body=getattr(stage, "body", stage),
            entry=getattr(stage, "entry", ""),
            is_model=self.is_model,
            judges=self.judges,
            label=self.label,
            config=self.config.read(),
            inputs=self.inputs,
            ingredients=self.ingredients,
            decision=decision,
            shard=None,
        )
        return StageJob(context, call, self.resources.read(), reporter)


class Result(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The outcome of a job: an artifact, or an error as `body_errors.describe` gives it, or notes on what was kept when it was stopped."""

    artifact: Artifact | None = None
    executed: bool = False
    error: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()


class PoolError(RuntimeError):
    """A work pool can't take a stage."""


class WorkerLost(PoolError):
    """A worker ended without a result."""

    transient = True


def run_in_pool(job: StageJob) -> Outcome:
    """Return what a worker of the job's pool makes. Raises what the body raises, PoolError if no worker takes it, and WorkerLost."""
    decision = job.call.decision
    folder = job.context.home / "cache" / "jobs" / f"{decision.stage}-{decision.key[:16]}-{uuid4().hex[:8]}"
    folder.mkdir(parents=True)
    try:
        (folder / JOB).write_text(JobFile.of(job).model_dump_json(), encoding="utf-8")
        with get_client(sync_client=True) as client:
            return _Sent(job, folder, client).result()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Sent:
    """A job that was sent to a pool."""

    def __init__(self, job: StageJob, folder: Path, client: SyncPrefectClient) -> None:
        self._job, self._folder, self._client = job, folder, client
        self._position, self._pool = job.call.decision.position, job.pool
        self._read = 0
        self._said, self._cancelled = "", False
        self._id = self._start()

    def _start(self) -> UUID:
        given = {"position": self._position, "job": str(self._folder)}
        try:
            started = run_deployment(f"{FLOW}/{self._pool}", parameters=given, flow_run_name=self._position, timeout=0)
        except ObjectNotFound as error:
            raise PoolError(
                f"resources.pools: {self._position} should run in work pool {self._pool}, but there is no deployment {FLOW}/{self._pool}. "
                f"deployments/prefect.yaml has one for the pool gpu; deploy it, or one like it for your pool."
            ) from error
        log(f"{self._position}: goes to work pool {self._pool}")
        assert not isinstance(started, Coroutine)
        return started.id

    def result(self) -> Outcome:
        """Wait for the worker; return what it made, or raise its error."""
        try:
            found = self._wait()
        except BaseException as error:
            self._cancel(error)
            raise
        if found.error is not None:
            raise rebuild(found.error)
        if found.artifact is None:
            kind, how = (PoolError, "was cancelled in Prefect") if self._cancelled else (WorkerLost, "was stopped from outside")
            kept = "".join(f", {note}" for note in found.notes)
            raise kind(f"{self._position}: its worker in pool {self._pool} {how}{kept}.")
        return Outcome(found.artifact, executed=found.executed)

    def _wait(self) -> Result:
        began = time.monotonic()
        while (found := self._found()) is None:
            state = self._state()
            if state is None:
                self._say("Prefect's server is away; its worker continues, and the run waits for it")
            elif state.is_final():
                # The file may have been written between the two looks.
                if (found := self._found()) is not None:
                    return found
                why = f": {state.message.rstrip('.')}" if state.message else ""
                raise WorkerLost(f"{self._position}: its worker in pool {self._pool} ended without a result ({state.name}{why}).")
            elif state.is_running():
                self._said = ""
            else:
                self._check_workers(time.monotonic() - began)
            raise_if_interrupted()
            time.sleep(POLL_SECONDS)
        self._wait_for_end(END_SECONDS)
        return found

    def _found(self) -> Result | None:
        """Pass on new events; return the result if there is one."""
        self._pass_on()
        try:
            content = (self._folder / RESULT).read_bytes()
        except FileNotFoundError:
            return None
        self._pass_on()
        return Result.model_validate_json(content)

    def _pass_on(self) -> None:
        try:
            with (self._folder / EVENTS).open("rb") as stream:
                stream.seek(self._read)
                lines = stream.read().rpartition(b"\n")[0]
        except FileNotFoundError:
            return
        self._read += len(lines) + 1 if lines else 0
        for event in map(json.loads, lines.splitlines()):
            if event["kind"] == "log":
                log(event["text"])
            else:
                self._job.reporter.series([(name, value, step) for name, value, step in event["rows"]])

    def _state(self) -> State | None:
        """Return the state of the sub flow run; None while the server is away."""
        try:
            state = self._client.read_flow_run(self._id).state
        except (httpx.TransportError, PrefectHTTPStatusError):
            return None
        self._cancelled |= state is not None and (state.is_cancelling() or state.is_cancelled())
        return state

    def _say(self, text: str) -> None:
        """Log why the run waits, once."""
        if text != self._said:
            self._said = text
            log(f"{self._position}: {text}")

    def _check_workers(self, waited: float) -> None:
        """Say once why the job waits. Raise PoolError if no worker has come within the time that the recipe gives."""
        workers = self._client.read_workers_for_work_pool(self._pool)
        online = any(worker.status == "ONLINE" for worker in workers)
        limit = self._job.resources.pool_wait_minutes * 60
        if not online and waited > limit:
            raise PoolError(
                f"{self._position}: no worker of pool {self._pool} came within {format_duration(limit)} (resources.pool_wait_minutes). "
                f"Start one: prefect worker start --pool {self._pool}"
            )
        why = f"waits for a worker of pool {self._pool} that is free"
        if not online:
            start = f"start one: prefect worker start --pool {self._pool}"
            why = f"waits at most {format_duration(limit)} for a worker of pool {self._pool}; {start}"
        if waited > SILENT_SECONDS:
            self._say(why)

    def _cancel(self, error: BaseException) -> None:
        """Stop the sub flow run, and add to the error what its worker has kept."""
        with suppress(PrefectHTTPStatusError, httpx.TransportError):
            state = self._state()
            running = state is not None and state.is_running()
            self._client.set_flow_run_state(self._id, Cancelling() if running else Cancelled(), force=True)
            if running:
                log(f"{self._position}: its worker in pool {self._pool} stops at a checkpoint")
                self._wait_for_end(STOP_SECONDS)
        found = self._found()
        for note in found.notes if found else ():
            error.add_note(note)

    def _wait_for_end(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while ((state := self._state()) is None or not state.is_final()) and time.monotonic() < until:
            self._pass_on()
            time.sleep(POLL_SECONDS)
