"""Account: what every decision leaves of a shard, and its part of the ledger."""

from __future__ import annotations

from pathlib import Path

from data.dedup.partitioned.config import PartitionedConfig
from tasks.corpus.partitioned.inputs import shard_input
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import changed_texts
from tasks.stage.stage import Metrics, Workspace, stage


@stage(hooks=(LineageHook(changed_texts),))
def account(
    config: PartitionedConfig,
    work: Workspace,
    documents: Path,
    verdicts: list[Path],
    sketched: Path,
    paragraphs: Path | None = None,
    lines: Path | None = None,
    passages: Path | None = None,
) -> Metrics:
    """documents.parquet of a shard, its verdicts and edits -> documents, clusters and ledger.parquet, removed/."""
    from data.dedup.partitioned.account import write_account

    return write_account(shard_input(work, documents, sketched, paragraphs, lines, passages), verdicts, work.output, **work.limits)
