"""Passages: join the repeated windows of a shard's documents, and ask the shards of their first copies for the words."""

from __future__ import annotations

from pathlib import Path

from data.dedup.partitioned.config import UnitConfig
from tasks.corpus.partitioned.inputs import shard_number
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import holds_nothing
from tasks.stage.stage import Metrics, Workspace, stage


@stage(hooks=(LineageHook(holds_nothing),))
def passages(config: UnitConfig, work: Workspace, repeats: list[Path]) -> Metrics:
    """Slices of repeats -> slices of first copies by the shard that holds them."""
    from data.dedup.partitioned.passages import join_passages

    return join_passages(repeats, work.output, config, shard_number(work), **work.limits)
