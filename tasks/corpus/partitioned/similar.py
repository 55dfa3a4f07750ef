"""Similar: compute the true Jaccard similarity of every pair in one partition of the candidates."""

from __future__ import annotations

from pathlib import Path

from data.dedup.partitioned.config import PartitionedConfig
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import holds_nothing
from tasks.stage.stage import Metrics, Workspace, stage


@stage(hooks=(LineageHook(holds_nothing),))
def similar(config: PartitionedConfig, work: Workspace, pairs: list[Path], shingles: list[Path]) -> Metrics:
    """Slices of pairs and of shingles -> pairs.parquet, with the similarity of those that are near duplicates."""
    from data.dedup.partitioned.pairs import verify_pairs

    return verify_pairs(pairs, shingles, work.output, config, **work.limits)
