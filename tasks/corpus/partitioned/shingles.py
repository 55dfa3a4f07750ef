"""Shingles: write the shingle sets of a shard's documents in candidate pairs, for the partitions that want them."""

from __future__ import annotations

from pathlib import Path

from data.dedup.partitioned.config import PartitionedConfig
from tasks.corpus.partitioned.inputs import shard_input
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import holds_nothing
from tasks.stage.stage import Metrics, Workspace, stage


@stage(hooks=(LineageHook(holds_nothing),))
def shingles(config: PartitionedConfig, work: Workspace, documents: Path, wanted: list[Path], sketched: Path) -> Metrics:
    """documents.parquet of a shard, slices of what is wanted of it -> slices of shingles."""
    from data.dedup.partitioned.pairs import write_shingles

    return write_shingles(shard_input(work, documents, sketched), wanted, work.output, config, **work.limits)
