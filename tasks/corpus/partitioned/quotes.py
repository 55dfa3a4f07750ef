"""Quotes: answer the shards that ask for first copies with digests of their words."""

from __future__ import annotations

from pathlib import Path

from data.dedup.partitioned.config import UnitConfig
from tasks.corpus.partitioned.inputs import shard_input
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import holds_nothing
from tasks.stage.stage import Metrics, Workspace, stage


@stage(hooks=(LineageHook(holds_nothing),))
def quotes(
    config: UnitConfig,
    work: Workspace,
    documents: Path,
    origins: list[Path],
    sketched: Path,
    paragraphs: Path | None = None,
    lines: Path | None = None,
) -> Metrics:
    """documents.parquet of a shard, its edits, slices of first copies -> slices of digests by the shard that asks."""
    from data.dedup.partitioned.passages import quote_passages

    return quote_passages(shard_input(work, documents, sketched, paragraphs, lines), origins, work.output, config, **work.limits)
