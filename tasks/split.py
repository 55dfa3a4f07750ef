"""Split: training, validation and test books, never through a cluster of near-duplicates."""

from __future__ import annotations

from pathlib import Path

from data.splits.config import SplitConfig
from data.splits.split import split as split_documents
from tasks.stage.stage import Metrics, Workspace, stage


@stage(libraries=("pyarrow",))
def split(config: SplitConfig, work: Workspace, documents: Path, clusters: Path) -> Metrics:
    """documents.parquet, clusters.parquet -> train.parquet, val.parquet, test.parquet."""
    return split_documents(documents, clusters, work.output, config)
