"""Members: describe a shard's members of clusters to the partitions that choose among them."""

from __future__ import annotations

from pathlib import Path

from data.dedup.partitioned.config import PartitionedConfig
from tasks.corpus.partitioned.inputs import shard_input
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import holds_nothing
from tasks.stage.stage import Metrics, Workspace, stage


@stage(hooks=(LineageHook(holds_nothing),))
def members(
    config: PartitionedConfig,
    work: Workspace,
    documents: Path,
    sketched: Path,
    members: list[Path],
    corpus: Path,
    frequencies: list[Path] | None = None,
) -> Metrics:
    """documents.parquet of a shard, slices of its members, frequencies of all words -> slices of rows and shingles."""
    from data.dedup.partitioned.clusters import describe_members

    return describe_members(shard_input(work, documents, sketched), members, frequencies or (), corpus, work.output, config, **work.limits)
