"""Cut: remove a shard's repeated paragraphs or lines."""

from __future__ import annotations

from pathlib import Path

from data.dedup.partitioned.config import UnitConfig
from tasks.corpus.partitioned.inputs import shard_input
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import changed_texts
from tasks.stage.stage import Metrics, Workspace, stage


@stage(hooks=(LineageHook(changed_texts),))
def cut(
    config: UnitConfig, work: Workspace, documents: Path, repeats: list[Path], sketched: Path, paragraphs: Path | None = None
) -> Metrics:
    """documents.parquet of a shard, its edits, slices of repeats -> edited.parquet, cut.parquet, removed/."""
    from data.dedup.partitioned.repeats import cut_repeats

    return cut_repeats(shard_input(work, documents, sketched, paragraphs), repeats, work.output, config, **work.limits)
