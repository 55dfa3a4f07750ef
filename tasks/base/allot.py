"""Allot: decide, from how much training text each shard has, which share of it is set apart for the tokenizer's sample."""

from __future__ import annotations

from pathlib import Path

from data.tokens.config import AllotConfig
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import holds_nothing
from tasks.stage.stage import Metrics, Workspace, stage


@stage(hooks=(LineageHook(holds_nothing),))
def allot(config: AllotConfig, work: Workspace, sizes: list[Path]) -> Metrics:
    """train_size.json of each shard -> share.json."""
    from data.tokens.sampling.share import allot as allot_share

    return allot_share(sizes, work.output, config)
