"""Read what the report needs of a run: its artifacts and their files, what was reused, and why the rest ran.

Taken once, when the report starts, so every section describes the same moment.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any, Concatenate, ParamSpec

from tasks.reporting.page_cache import cached_rows
from tasks.stage.execution.run import PipelineRun
from tasks.stage.store.artifact import Artifact, without_shard
from tasks.stage.store.origin import git_state, now
from tasks.stage.store.run_record import NEVER
from tasks.stage.store.store import Store
from tasks.stage.tracking.cost import Rates

P = ParamSpec("P")
# How causes begin that only pass on what another stage did.
FOLLOWS = ("input ", "waits on ")
TUNED = "evaluate.chat"


@dataclass(frozen=True)
class Results:
    """The artifacts of a run by their position in the flow, and the folders of their files.

    A position that the run doesn't have reads as None or as nothing, so that its section is left out. A file that is missing or
    malformed is an error that names it, never a page with a hole.
    """

    artifacts: Mapping[str, Artifact]
    folder: Callable[[Artifact], Path]

    def metrics(self, position: str) -> Mapping[str, float]:
        """Return the metrics of a position, summed over its shards."""
        if position in self.artifacts:
            return self.artifacts[position].metrics
        total: dict[str, float] = {}
        for name, artifact in self.artifacts.items():
            if without_shard(name) == position:
                total |= {metric: total.get(metric, 0.0) + value for metric, value in artifact.metrics.items()}
        return total

    def positions(self, stage: str, first: Iterable[str] = ()) -> list[str]:
        """Return the positions of a stage in the flow's order, those in `first` before the others."""
        found = [position for position, artifact in self.artifacts.items() if artifact.stage == stage]
        return [p for p in first if p in found] + [p for p in found if p not in set(first)]

    def variants(self) -> list[str]:
        """Return the names of the model's quantized variants, in the recipe's order."""
        return [position.partition(".")[2] for position in self.positions("quantize")]

    def path(self, position: str, file: str) -> Path | None:
        """Return a file of a position, or None if the run doesn't have it. Raises FileNotFoundError if the artifact lacks the file."""
        artifact = self.artifacts.get(position)
        if artifact is None:
            return None
        path = self.folder(artifact) / file
        if not path.is_file():
            raise FileNotFoundError(f"report: {artifact.name} has no {file}; run the stage again with --refresh {position}.")
        return path

    def json(self, position: str, file: str) -> Any:
        """Return the content of a JSON file, or None if the run doesn't have the position."""
        path = self.path(position, file)
        return None if path is None else json.loads(path.read_text(encoding="utf-8"))

    def rows(
        self, position: str, file: str, read: Callable[Concatenate[IO[bytes], P], list[dict[str, Any]]], *args: P.args, **kwargs: P.kwargs
    ) -> list[dict[str, Any]]:
        """Return what `read` finds in a table, from the cache of pages if there; none if the run doesn't have the position."""
        path = self.path(position, file)
        if path is None:
            return []
        digests = {known.path: known.sha256 for known in self.artifacts[position].files}
        return cached_rows(read, path, digests[file], *args, **kwargs)

    def lines(self, position: str, file: str) -> list[dict[str, Any]]:
        """Return the objects of a JSON lines file; none if the run doesn't have the position."""
        path = self.path(position, file)
        return [] if path is None else [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]


@dataclass(frozen=True)
class RunSummary:
    """The run that a page is about. `causes`: why each stage was to run, in the flow's order; empty for one that was to be reused.

    `failure`: the error that ended it, in the words of the terminal; empty for a run that ended well. `stopped`: it ended in order before
    it was finished, and can go on. `previous`: what was measured of the model that the recipe made before.
    """

    id: str
    name: str
    started: datetime
    ended: datetime
    results: Results
    reused: frozenset[str]
    causes: Mapping[str, tuple[str, ...]]
    commit: str
    dirty: bool
    rates: Rates
    failure: str = ""
    stopped: bool = False
    previous: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, run: PipelineRun, failure: str = "", *, stopped: bool = False) -> RunSummary:
        """Summarize a run as it is at this moment."""
        commit, dirty = git_state()
        return cls(
            id=run.record.id,
            name=run.name,
            started=datetime.fromisoformat(run.started),
            ended=datetime.fromisoformat(now()),
            results=Results(dict(run.artifacts), run.store.local),
            reused=frozenset(run.reused),
            causes={decision.position: decision.causes for decision in run.decisions},
            commit=commit,
            dirty=dirty,
            rates=run.rates,
            failure=failure,
            stopped=stopped,
            previous=previous_metrics(run.store, run.name, run.artifacts.get(TUNED)),
        )

    @property
    def seconds(self) -> float:
        """Wall time of the run so far."""
        return (self.ended - self.started).total_seconds()

    @property
    def changed(self) -> tuple[str, ...]:
        """Why stages ran, apart from new output of other stages: `first run` if that is the only reason."""
        causes = (cause for position, found in self.causes.items() if position not in self.reused for cause in found)
        own = [cause for cause in dict.fromkeys(causes) if not cause.startswith(FOLLOWS)]
        return tuple(cause for cause in own if cause != NEVER) or (("first run",) if NEVER in own else ())

    @property
    def all_reused(self) -> bool:
        """Whether it ended well and made nothing."""
        artifacts = set(self.results.artifacts)
        return bool(artifacts) and self.reused >= artifacts and not self.unfinished and not self.failure

    @property
    def unfinished(self) -> list[str]:
        """Positions that started and have no artifact, the shards of a stage as one."""
        return list(dict.fromkeys(without_shard(position) for position in self.causes if position not in self.results.artifacts))


def previous_metrics(store: Store, recipe: str, current: Artifact | None) -> Mapping[str, float]:
    """Return the metrics of the last other tuned model that the recipe made; nothing if there is none."""
    if current is None:
        return {}
    stage, where = TUNED.split(".")
    return next((made.metrics for made in store.labelled(stage, f"{recipe}-{where}") if made.digest != current.digest), {})
