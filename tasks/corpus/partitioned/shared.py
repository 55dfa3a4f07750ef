"""Shared: find the minimizers of one partition that occur more than once."""

from __future__ import annotations

from pathlib import Path

from data.dedup.partitioned.config import UnitConfig
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import holds_nothing
from tasks.stage.stage import Metrics, Workspace, stage


@stage(hooks=(LineageHook(holds_nothing),))
def shared(config: UnitConfig, work: Workspace, minimizers: list[Path]) -> Metrics:
    """Slices of minimizers -> slices of the places of shared ones by shard."""
    from data.dedup.partitioned.passages import find_shared

    return find_shared(minimizers, work.output, config, **work.limits)
