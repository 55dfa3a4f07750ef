"""Units: divide the paragraphs or lines of a shard's documents that stay among the partitions."""

from __future__ import annotations

from pathlib import Path

from data.dedup.partitioned.config import UnitConfig
from tasks.corpus.partitioned.inputs import shard_input
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import holds_nothing
from tasks.stage.stage import Metrics, Workspace, stage


@stage(hooks=(LineageHook(holds_nothing),))
def units(
    config: UnitConfig, work: Workspace, documents: Path, verdicts: list[Path], sketched: Path, paragraphs: Path | None = None
) -> Metrics:
    """documents.parquet of a shard, its verdicts and edits -> slices of units by fingerprint."""
    from data.dedup.partitioned.repeats import write_units

    return write_units(shard_input(work, documents, sketched, paragraphs), verdicts, work.output, config, **work.limits)
