"""Dedup: keep one of each group of exact or near duplicates, and record which document duplicated which."""

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
def dedup(config: DedupConfig, work: Workspace, documents: list[Path]) -> Metrics:
    """documents.parquet of each shard -> documents.parquet, clusters.parquet, pairs.parquet, ledger.parquet, removed/."""
    from data.dedup.dedup import dedup as remove_duplicates

    return remove_duplicates(documents, work.output, config, **work.limits)
