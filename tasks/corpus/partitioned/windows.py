"""Windows: divide the windows of words around a shard's shared minimizers among the partitions."""

from __future__ import annotations

from pathlib import Path

from data.dedup.partitioned.config import UnitConfig
from tasks.corpus.partitioned.inputs import shard_input
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import holds_nothing
from tasks.stage.stage import Metrics, Workspace, stage


@stage(hooks=(LineageHook(holds_nothing),))
def windows(
    config: UnitConfig,
    work: Workspace,
    documents: Path,
    verdicts: list[Path],
    shared: list[Path],
    sketched: Path,
    paragraphs: Path | None = None,
    lines: Path | None = None,
) -> Metrics:
    """documents.parquet of a shard, its verdicts and edits, slices of shared minimizers -> slices of units."""
    from data.dedup.partitioned.passages import write_windows

    return write_windows(shard_input(work, documents, sketched, paragraphs, lines), verdicts, shared, work.output, config, **work.limits)
