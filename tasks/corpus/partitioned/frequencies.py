"""Frequencies: count in how many documents of the corpus each word of one partition occurs."""

from __future__ import annotations

from pathlib import Path

from data.dedup.partitioned.config import PartitionedConfig
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import holds_nothing
from tasks.stage.stage import Metrics, Workspace, stage


@stage(hooks=(LineageHook(holds_nothing),))
def frequencies(config: PartitionedConfig, work: Workspace, words: list[Path]) -> Metrics:
    """Slices of counts of words -> frequencies.parquet."""
    from data.dedup.partitioned.documents import count_frequencies

    return count_frequencies(words, work.output, **work.limits)
