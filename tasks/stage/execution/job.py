"""A job: one call of a stage with all that is needed to run it, in this process or in a worker of a cluster.

It can be pickled, unless it reports to a run of this process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel

from tasks.stage.execution.plan import Decision
from tasks.stage.execution.resources import Resources
from tasks.stage.execution.trace_check import TraceChecker
from tasks.stage.store.artifact import Artifact, ArtifactPart, PendingArtifact, ShardedArtifact, StageInput, expand_shards
from tasks.stage.store.store import Store
from tasks.stage.workspace import Body, ShardIndex


@dataclass(frozen=True)
class StageCall:
    """A call of a stage with the decision about it. It can be pickled if its body can."""

    body: Body
    entry: str
    is_model: bool
    judges: bool
    label: str
    config: BaseModel
    inputs: Mapping[str, StageInput | ShardedArtifact]
    ingredients: Mapping[str, str]
    decision: Decision
    shard: ShardIndex | None

    def given(self) -> dict[str, Artifact | ArtifactPart]:
        """Return the inputs by name, each shard separately."""
        return {name: item for name, item in expand_shards(self.inputs).items() if not isinstance(item, PendingArtifact)}

    def digests(self) -> dict[str, str]:
        """Return the inputs' digests by name, each shard separately."""
        return self.of_kind("input")

    def observed(self) -> dict[str, str]:
        """Return the state of files outside the store when the key was computed."""
        return self.of_kind("observed")

    def of_kind(self, kind: str) -> dict[str, str]:
        """Return the ingredients of one kind, such as `input`, by the rest of their names."""
        return {name.removeprefix(f"{kind}."): value for name, value in self.ingredients.items() if name.startswith(f"{kind}.")}


class WorkerMismatch(RuntimeError):
    """A cluster's worker differs from the run in paths, source or libraries."""


@dataclass(frozen=True)
class JobContext:
    """The store and the folders of a run. `started`: when it began, UTC, ISO 8601; `traces`: on the source as it was then.

    `packages`: the distributions that the run's process finds installed, with their versions.
    """

    store: Store
    root: Path
    home: Path
    run_id: str
    started: str
    traces: TraceChecker
    packages: Mapping[str, str]

    @property
    def snapshot(self) -> Path:
        """The manifest of the source. Raises RuntimeError for a plan, which writes none."""
        if self.traces.source.manifest is None:
            raise RuntimeError("a plan executes nothing, so it has no snapshot on disk")
        return self.traces.source.manifest


class Reporter(Protocol):
    """Receives what a stage reports while it works."""

    on_terminal: bool

    def start(self) -> None:
        """Record that work begins."""

    def series(self, rows: list[tuple[str, float, int]]) -> None:
        """Record (metric, value, step) rows."""


class BufferedReporter:
    """Keeps what a worker in another process reports until its run can record it."""

    on_terminal = False

    def __init__(self) -> None:
        self.rows: list[tuple[str, float, int]] = []

    def start(self) -> None:
        """Do nothing: the run has recorded it when it sent the work."""

    def series(self, rows: list[tuple[str, float, int]]) -> None:
        """Keep rows."""
        self.rows += rows


class StageJob:
    """A call with all that is needed to run it. Not a dataclass, because Prefect and Dask would search one for other tasks' results."""

    def __init__(self, context: JobContext, call: StageCall, resources: Resources, reporter: Reporter, pool: str = "") -> None:
        """`pool`: the work pool whose worker shall run it; empty for the process that has the job."""
        self.context, self.call, self.resources, self.reporter, self.pool = context, call, resources, reporter, pool

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the Prefect task."""
        return {"position": self.call.decision.position, "key": self.call.decision.key, "job": self}


@dataclass(frozen=True)
class Outcome:
    """A task's result: the artifact, whether it was made just now, and the metric rows that a worker could not record itself.

    `retries`: how often it was run again after a transient fault.
    """

    artifact: Artifact
    executed: bool
    rows: tuple[tuple[str, float, int], ...] = ()
    retries: int = 0
