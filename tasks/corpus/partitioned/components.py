"""Components: connect the pairs of all partitions to clusters, in one task over numbers alone."""

from __future__ import annotations

from pathlib import Path

from data.dedup.partitioned.config import PartitionedConfig
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import holds_nothing
from tasks.stage.stage import Metrics, Workspace, stage


@stage(hooks=(LineageHook(holds_nothing),))
def components(
    config: PartitionedConfig, work: Workspace, copies: list[Path], extents: list[Path], pairs: list[Path] | None = None
) -> Metrics:
    """copies.parquet, pairs.parquet and extents of all -> corpus.parquet, slices of members by shard and of pairs by cluster."""
    from data.dedup.partitioned.clusters import find_components

    return find_components(copies, pairs or (), extents, work.output, config, **work.limits)
