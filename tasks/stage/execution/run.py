"""The current run: what all its stages share, none of it part of a stage's identity.

Exactly one run is current in a context; asking for it outside of one is an error that says so.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from tasks.stage.execution.plan import Decision
from tasks.stage.execution.resources import Resources
from tasks.stage.execution.trace_check import TraceChecker
from tasks.stage.execution.worker_pool import TaskGraph, WorkerPool
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.journal import Journal, PositionRecord, RegisteredModel, RunRecord, StageRecord
from tasks.stage.store.series import SeriesWriter
from tasks.stage.store.store import Store
from tasks.stage.store.verdicts import Approver
from tasks.stage.tracking.cost import Rates


class RunStopped(RuntimeError):
    """A run stops cleanly before it is finished, and can be continued later; the message says how."""


@dataclass(frozen=True)
class RunOptions:
    """Options of a run that are no part of its recipe.

    `argument`: what names the recipe in a command; `approver`: how to ask a person; None where there is nobody to ask. `runs`: receives
    the run when it opens; `working`: set when a stage has to execute, rather than being reused.
    """

    planning: bool = False
    refresh: frozenset[str] = frozenset()
    verify: bool = False
    argument: str = ""
    approver: Approver | None = None
    runs: list[PipelineRun] = field(default_factory=list, compare=False)
    working: threading.Event = field(default_factory=threading.Event, compare=False)


@dataclass
class PipelineRun:
    """The current run: where it reads and writes, and what it has decided so far.

    `traces`: on the repository's source, frozen when the run opened, for a plan as it is. `before`: what the last run had, by position.
    `notify`: tells the run's follower that the journal has changed. `tracked`: whether MLflow is told of the run.
    """

    name: str
    root: Path
    home: Path
    store: Store
    resources: Resources
    pool: WorkerPool
    options: RunOptions
    record: RunRecord
    traces: TraceChecker
    notify: Callable[[], None] = lambda: None
    tracked: bool = False
    rates: Rates = field(default_factory=Rates)
    before: Mapping[str, PositionRecord] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    reused: set[str] = field(default_factory=set)
    graph: TaskGraph = field(default_factory=TaskGraph)
    positions: dict[str, PositionRecord] = field(default_factory=dict)
    stages: dict[str, StageRecord] = field(default_factory=dict)
    registered: tuple[RegisteredModel, ...] = ()

    def __post_init__(self) -> None:
        """Open the series; their files appear with the first rows."""
        self.series = SeriesWriter(self.store, self.record.id, lambda: self.notify())

    @property
    def started(self) -> str:
        """UTC time, ISO 8601."""
        return self.record.started

    def note(self, **changes: object) -> None:
        """Change the run's record; the change is written when the record is saved next."""
        self.record = self.record.model_copy(update=changes)

    def save(self, **changes: object) -> None:
        """Write to the journal how far the run has come, with `changes` to its record."""
        self.series.flush()
        so_far = {"positions": dict(self.positions), "stages": dict(self.stages), "registered": self.registered}
        self.record = self.record.model_copy(update={**changes, **so_far})
        Journal(self.store).write(self.record)
        self.notify()


_options: ContextVar[RunOptions | None] = ContextVar("folio_options", default=None)
_current: ContextVar[PipelineRun | None] = ContextVar("folio_run", default=None)


def current_run() -> PipelineRun:
    """Return the run that this code belongs to. Raises RuntimeError outside of one."""
    run = _current.get()
    if run is None:
        raise RuntimeError("A stage was called outside of a run. Call it from a flow, within `open_run`.")
    return run


def current_options() -> RunOptions:
    """Return the options of the run about to start."""
    return _options.get() or RunOptions()


@contextmanager
def use_options(options: RunOptions) -> Iterator[None]:
    """Set the options of runs opened inside the block."""
    token = _options.set(options)
    try:
        yield
    finally:
        _options.reset(token)


@contextmanager
def use_run(run: PipelineRun) -> Iterator[PipelineRun]:
    """Make `run` the current one for the block."""
    token = _current.set(run)
    try:
        yield run
    finally:
        _current.reset(token)
