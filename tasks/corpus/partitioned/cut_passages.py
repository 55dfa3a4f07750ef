"""Cut passages: remove a shard's repeated passages whose words are those of their first copies."""

from __future__ import annotations

from pathlib import Path

from data.dedup.partitioned.config import UnitConfig
from tasks.corpus.partitioned.inputs import shard_input
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import changed_texts
from tasks.stage.stage import Metrics, Workspace, stage


@stage(hooks=(LineageHook(changed_texts),))
def cut_passages(
    config: UnitConfig,
    work: Workspace,
    documents: Path,
    repeats: list[Path],
    digests: list[Path],
    sketched: Path,
    paragraphs: Path | None = None,
    lines: Path | None = None,
) -> Metrics:
    """documents.parquet of a shard, its edits, slices of repeats and digests -> edited.parquet, cut.parquet, removed/."""
    from data.dedup.partitioned.passages import cut_repeated_passages

    return cut_repeated_passages(
        shard_input(work, documents, sketched, paragraphs, lines), repeats, digests, work.output, config, **work.limits
    )
