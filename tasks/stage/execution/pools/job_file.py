"""A job as files for a worker of another work pool: what to run, where its inputs are, and its outcome. Plain JSON, never pickled.

job.json      the call and its surroundings
events.jsonl  what the worker reports while it works: log lines and metric rows
result.json   the artifact, or the error, or what was kept when it was stopped
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from tasks.stage.execution.bodies.body_errors import imported
from tasks.stage.execution.job import JobContext, Reporter, StageJob
from tasks.stage.execution.plan import Decision
from tasks.stage.execution.stage_call import StageCall
from tasks.stage.execution.trace_check import TraceChecker
from tasks.stage.identity.digests import DigestCache
from tasks.stage.identity.tracing.source import Source
from tasks.stage.store.artifact import Artifact, ArtifactPart, ShardedArtifact
from tasks.stage.store.store import Damaged, Store

JOB, EVENTS, RESULT = "job.json", "events.jsonl", "result.json"


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
    """What became of a job: an artifact, or an error as `body_errors.describe` gives it, or notes on what was kept when it was stopped."""

    artifact: Artifact | None = None
    executed: bool = False
    error: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()
