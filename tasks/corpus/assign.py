"""Assign: decide over all shards, from ids and numbers alone, which split each document goes to.

Near-duplicates stay together; generated text goes to train only, up to the recipe's share.
"""

from __future__ import annotations

from pathlib import Path

from data.splits.config import SplitConfig
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import holds_nothing
from tasks.stage.stage import Metrics, Workspace, stage


@stage(hooks=(LineageHook(holds_nothing),))
def assign(config: SplitConfig, work: Workspace, sizes: list[Path], clusters: Path) -> Metrics:
    """sizes of the documents of each shard, clusters.parquet -> slices of the assignment by shard."""
    from data.splits.assignment import assign as assign_documents

    return assign_documents(sizes, clusters, work.output, config, **work.limits)
