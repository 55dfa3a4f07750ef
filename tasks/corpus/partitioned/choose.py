"""Choose: decide in one partition of the clusters which copy of each document stays."""

from __future__ import annotations

from pathlib import Path

from data.dedup.partitioned.config import PartitionedConfig
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import holds_nothing
from tasks.stage.stage import Metrics, Workspace, stage


@stage(hooks=(LineageHook(holds_nothing),))
def choose(config: PartitionedConfig, work: Workspace, rows: list[Path], shingles: list[Path], pairs: list[Path]) -> Metrics:
    """Slices of rows, shingles and pairs -> slices of verdicts by shard, pairs/."""
    from data.dedup.partitioned.clusters import choose_members

    return choose_members(rows, shingles, pairs, work.output, config, **work.limits)
