"""Dedup: keep one of each group of exact or near duplicates, and record which document duplicated which.

It compares all documents itself, or joins what the stages of `partitioned/` decided; its files are the same.
"""

from __future__ import annotations

from pathlib import Path

from data.dedup.config import DedupConfig
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import document_tables
from tasks.reporting.hook import ReportHook
from tasks.stage.stage import Metrics, Workspace, stage


@stage(
    hooks=(LineageHook(document_tables, in_corpus=True, finds_duplicates=True), ReportHook(title="deduplicated")),
)
def dedup(
    config: DedupConfig,
    work: Workspace,
    documents: list[Path],
    accounts: list[Path] | None = None,
    pairs: list[Path] | None = None,
    compared: list[Path] | None = None,
) -> Metrics:
    """documents.parquet of each shard -> documents/ and sizes/ by shard, clusters.parquet, pairs.parquet, ledger.parquet, removed/.

    `accounts`: the results of the shards; `pairs` and `compared`: those of the partitions of clusters and of candidate pairs."""
    if accounts is not None:
        from data.dedup.partitioned.account import Parts, join_accounts

        return join_accounts(documents, Parts(accounts, pairs or (), compared or ()), work.output, **work.limits)
    from data.dedup.dedup import dedup as remove_duplicates

    return remove_duplicates(documents, work.output, config, **work.limits)
