"""Minimizers: divide the minimizers of a shard's documents that stay among the partitions."""

from __future__ import annotations

from pathlib import Path

from data.dedup.partitioned.config import UnitConfig
from tasks.corpus.partitioned.inputs import shard_input
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import holds_nothing
from tasks.stage.stage import Metrics, Workspace, stage


@stage(hooks=(LineageHook(holds_nothing),))
def minimizers(
    config: UnitConfig,
    work: Workspace,
    documents: Path,
    verdicts: list[Path],
    sketched: Path,
    paragraphs: Path | None = None,
    lines: Path | None = None,
) -> Metrics:
    """documents.parquet of a shard, its verdicts and edits -> slices of minimizers."""
    from data.dedup.partitioned.passages import write_minimizers

    return write_minimizers(shard_input(work, documents, sketched, paragraphs, lines), verdicts, work.output, config, **work.limits)
