"""Contamination: decide, over all shards and without texts, which matches are passages of evaluation sets and which are common phrases."""

from __future__ import annotations

from pathlib import Path

from data.decontamination.config import ContaminationConfig
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import holds_nothing
from tasks.stage.stage import Metrics, Workspace, stage


@stage(hooks=(LineageHook(holds_nothing),))
def contamination(config: ContaminationConfig, work: Workspace, found: list[Path]) -> Metrics:
    """What the search of each shard found -> slices of passages by shard."""
    from data.decontamination.contamination import find_contamination

    return find_contamination(found, work.output, config, **work.limits)
