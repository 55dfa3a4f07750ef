"""Sketch: cut repeated pages, and divide what documents are compared by among the partitions."""

from __future__ import annotations

from pathlib import Path

from data.dedup.partitioned.config import PartitionedConfig
from tasks.corpus.partitioned.inputs import shard_number
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import changed_texts
from tasks.stage.stage import Metrics, Workspace, stage


@stage(hooks=(LineageHook(changed_texts),))
def sketch(config: PartitionedConfig, work: Workspace, documents: Path) -> Metrics:
    """documents.parquet of a shard -> its rows, extent, edits, and slices of fingerprints, signatures and counts of words."""
    from data.dedup.partitioned.documents import sketch as sketch_shard

    return sketch_shard(documents, work.output, config, shard_number(work), **work.limits)
