"""Split: divide the documents of a shard into train, validation and test, as assigned."""

from __future__ import annotations

from pathlib import Path

from data.splits.config import DivideConfig
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import document_tables
from tasks.reporting.hook import ReportHook
from tasks.stage.stage import Metrics, Workspace, stage


@stage(hooks=(LineageHook(document_tables, in_corpus=True), ReportHook(title="split")))
def split(config: DivideConfig, work: Workspace, documents: Path, assigned: Path) -> Metrics:
    """documents.parquet of a shard, its slice of the assignment -> train.parquet and train_size.json, val.parquet, test.parquet,
    ledger.parquet, removed/."""
    from data.splits.split import split as split_documents

    return split_documents(documents, assigned, work.output, config, **work.limits)
