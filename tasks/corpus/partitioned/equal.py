"""Equal: find the documents of equal words in one partition of their fingerprints."""

from __future__ import annotations

from pathlib import Path

from data.dedup.partitioned.config import PartitionedConfig
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import holds_nothing
from tasks.stage.stage import Metrics, Workspace, stage


@stage(hooks=(LineageHook(holds_nothing),))
def equal(config: PartitionedConfig, work: Workspace, fingerprints: list[Path]) -> Metrics:
    """Slices of fingerprints -> copies.parquet: documents that are not the first of their words, and the first."""
    from data.dedup.partitioned.documents import match_documents

    return match_documents(fingerprints, work.output, **work.limits)
