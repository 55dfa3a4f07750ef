"""Clean: text as its author wrote it, without what printing, scanning and libraries added."""

from __future__ import annotations

from pathlib import Path

from data.cleaning.clean import clean as clean_documents
from data.cleaning.config import CleanConfig
from tasks.stage.stage import Metrics, Workspace, stage


@stage(libraries=("duckdb", "pyarrow", "ftfy"))
def clean(config: CleanConfig, work: Workspace, documents: Path) -> Metrics:
    """documents.parquet of a shard -> documents.parquet, ledger.parquet."""
    return clean_documents(documents, work.output, config, **work.limits, progress=work.meter.show)
