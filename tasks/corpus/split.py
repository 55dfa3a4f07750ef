"""Split: train, validation and test. Near-duplicates stay together; generated text goes to train only, up to the recipe's share."""

from __future__ import annotations

from pathlib import Path

from data.splits.config import SplitConfig
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import document_tables
from tasks.reporting.hook import ReportHook
from tasks.stage.stage import Metrics, Workspace, stage


@stage(hooks=(LineageHook(document_tables, in_corpus=True), ReportHook(title="split")))
def split(config: SplitConfig, work: Workspace, documents: Path, clusters: Path) -> Metrics:
    """documents.parquet, clusters.parquet -> train.parquet, val.parquet, test.parquet, ledger.parquet, removed/."""
    from data.splits.split import split as split_documents

    return split_documents(documents, clusters, work.output, config, **work.limits)
