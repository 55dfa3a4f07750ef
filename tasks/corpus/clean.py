"""Clean: remove what printing, scanning and digital libraries added to a text, and repair what they damaged."""

from __future__ import annotations

from pathlib import Path

from data.cleaning.config import CleanConfig
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import document_tables
from tasks.reporting.hook import ReportHook
from tasks.stage.stage import Metrics, Workspace, stage


@stage(hooks=(LineageHook(document_tables, in_corpus=True), ReportHook(title="cleaned")))
def clean(config: CleanConfig, work: Workspace, documents: Path) -> Metrics:
    """documents.parquet of a shard -> documents.parquet, ledger.parquet."""
    from data.cleaning.clean import clean as clean_documents

    return clean_documents(documents, work.output, config, **work.limits, progress=work.meter.show)
