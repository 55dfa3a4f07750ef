"""Propose: find candidate pairs of near duplicates in one partition of the MinHash buckets."""

from __future__ import annotations

from pathlib import Path

from data.dedup.partitioned.config import PartitionedConfig
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import holds_nothing
from tasks.stage.stage import Metrics, Workspace, stage


@stage(hooks=(LineageHook(holds_nothing),))
def propose(config: PartitionedConfig, work: Workspace, signatures: list[Path], copies: list[Path]) -> Metrics:
    """Slices of signatures, the copies of all partitions -> slices of pairs, and of the shingles wanted for them."""
    from data.dedup.partitioned.pairs import propose_pairs

    return propose_pairs(signatures, copies, work.output, config, **work.limits)
