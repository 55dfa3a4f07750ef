"""Repeats: find the copies of paragraphs, lines or windows of words in one partition of their fingerprints."""

from __future__ import annotations

from pathlib import Path

from data.dedup.partitioned.config import UnitConfig
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import holds_nothing
from tasks.stage.stage import Metrics, Workspace, stage


@stage(hooks=(LineageHook(holds_nothing),))
def repeats(config: UnitConfig, work: Workspace, units: list[Path], copies: list[Path], pairs: list[Path] | None = None) -> Metrics:
    """Slices of units, copies of documents, pairs of near duplicates that are kept -> slices of repeats by shard."""
    from data.dedup.partitioned.repeats import find_repeats

    return find_repeats(units, copies, pairs or (), work.output, config, **work.limits)
