"""A run as the report tells it: its evidence, what was reused, why the rest ran, and whether it came to its end.

Guarantees: taken once, when the report begins, so that every section speaks of the same moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from tasks.lineage.graph import without_shard
from tasks.reporting.evidence import Evidence
from tasks.stage.execution.run import PipelineRun
from tasks.stage.store.origin import git_state, now
from tasks.stage.tracking.cost import Rates


@dataclass(frozen=True)
class Account:
    """What the page is about. `causes`: why each decided stage was to run, in the flow's order; empty when it was to be reused."""

    name: str
    started: datetime
    ended: datetime
    evidence: Evidence
    reused: frozenset[str]
    causes: Mapping[str, tuple[str, ...]]
    commit: str
    dirty: bool
    rates: Rates

    @classmethod
    def of(cls, run: PipelineRun) -> Account:
        """The account of a run as it stands now."""
        commit, dirty = git_state()
        return cls(
            name=run.name,
            started=datetime.fromisoformat(run.started),
            ended=datetime.fromisoformat(now()),
            evidence=Evidence(dict(run.artifacts), run.store.local),
            reused=frozenset(run.reused),
            causes={decision.position: decision.causes for decision in run.decisions},
            commit=commit,
            dirty=dirty,
            rates=run.rates,
        )

    @property
    def seconds(self) -> float:
        """Wall time of the run so far."""
        return (self.ended - self.started).total_seconds()

    @property
    def unfinished(self) -> list[str]:
        """Places that were begun and have no artifact, the shards of a stage as one."""
        return list(dict.fromkeys(without_shard(place) for place in self.causes if place not in self.evidence.artifacts))
