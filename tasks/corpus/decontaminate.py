"""Decontaminate: what stands in given evaluation sets leaves the corpus, and is listed.

Identity includes the names and content of the sets' files.
"""

from __future__ import annotations

from pathlib import Path

from data.decontamination.config import DecontaminateConfig
from data.decontamination.decontaminate import decontaminate as remove_evaluations
from data.decontamination.evaluation import evaluation_state
from tasks.stage.stage import Metrics, Workspace, stage


@stage(libraries=("duckdb", "pyarrow"), observes=evaluation_state)
def decontaminate(config: DecontaminateConfig, work: Workspace, documents: Path) -> Metrics:
    """documents.parquet -> documents.parquet, contaminated.parquet, ledger.parquet, removed/."""
    return remove_evaluations(documents, work.output, config, root=work.root, observed=work.observed, **work.limits)
