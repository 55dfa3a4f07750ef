"""Overlap: find which held-out n-grams of all shards the train and validation texts of a shard contain, as hashes and ids."""

from __future__ import annotations

from pathlib import Path

from data.audit.config import GramConfig
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import holds_nothing
from tasks.stage.stage import Metrics, Workspace, stage


@stage(hooks=(LineageHook(holds_nothing),))
def overlap(config: GramConfig, work: Workspace, train: Path, val: Path, held_out: list[Path]) -> Metrics:
    """train.parquet and val.parquet of a shard, grams.parquet of every shard -> seen.parquet."""
    from data.audit.overlap import overlap as find_overlap

    return find_overlap(train, val, held_out, work.output, config, **work.limits)
