"""Audit: does held-out text stand in training text, where did every document go, and how well was it cleaned?

Judges nothing: it measures, and the corpus gate compares. Where the truth of a generated universe is known, cleaning and
deduplication are scored against it.
"""

from __future__ import annotations

import json
from pathlib import Path

from data.audit.audit import audit as audit_splits
from data.audit.config import AuditConfig
from data.universe.score import score
from tasks.stage.stage import Metrics, Workspace, stage


@stage(libraries=("duckdb", "pyarrow"))
def audit(config: AuditConfig, work: Workspace, ingested: Path, cleaned: Path, deduplicated: Path, splits: Path) -> Metrics:
    """Ledgers and splits -> leaks.parquet, funnel.json, metrics.json."""
    ledgers = {"ingest": ingested, "clean": cleaned, "dedup": deduplicated}
    metrics = audit_splits(ledgers, splits, work.output, config, **work.limits)
    truth = ingested / "truth"
    if truth.is_dir():
        documents = {"cleaned_documents": cleaned / "documents.parquet", "deduplicated_documents": deduplicated / "documents.parquet"}
        metrics |= score(truth, **documents, dedup_ledger=deduplicated / "ledger.parquet")
    (work.output / "metrics.json").write_text(json.dumps(metrics, indent=1, sort_keys=True))
    return metrics
