"""Audit: how much held-out text is also in the training split, what happened to every document, and how well it was cleaned.

It only measures; the corpus gate judges. For a generated universe, whose clean text is known, it scores cleaning and deduplication.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from data.audit.config import AuditConfig
from data.documents.sharding import shard_files
from data.provenance.tables import has_document
from tasks.lineage.hook import Holding, Inspection, LineageHook
from tasks.reporting.cleaning import RULES, SCORED
from tasks.reporting.corpus import CORPUS
from tasks.reporting.held_out import HELD_OUT
from tasks.reporting.hook import ReportHook
from tasks.stage.stage import Metrics, Workspace, stage


def _inspect(inspection: Inspection) -> Holding:
    """The audit quotes passages that two splits share."""
    columns = {"leaks.parquet": ("id", "train_id", "val_id"), "leaked_documents.parquet": ("id",)}
    quoted = {f for f, ids in columns.items() if inspection.has(f) and inspection.read(f, partial(has_document, columns=ids))}
    return inspection.holding(quoted, detail="quoted as a leak" if quoted else "")


@stage(hooks=(LineageHook(_inspect, audits_corpus=True), ReportHook(CORPUS, RULES, HELD_OUT, SCORED)))
def audit(
    config: AuditConfig,
    work: Workspace,
    ingested: list[Path],
    cleaned: list[Path],
    deduplicated: Path,
    splits: list[Path],
    filtered: list[Path] | None = None,
    decontaminated: list[Path] | None = None,
    truth: Path | None = None,
) -> Metrics:
    """Ledgers and splits of each shard and stage, and truth/ of a universe -> leaks.parquet, funnel.json, metrics.json."""
    from data.audit.audit import audit as audit_splits
    from data.universe.score import score

    ledgers = {"ingest": ingested, "clean": cleaned, "filter": filtered or [], "dedup": [deduplicated]}
    ledgers |= {"decontaminate": decontaminated or [], "split": splits}
    metrics = audit_splits({name: folders for name, folders in ledgers.items() if folders}, splits, work.output, config, **work.limits)
    if truth is not None:
        texts = [folder / "documents.parquet" for folder in cleaned]
        metrics |= score(truth, texts, shard_files(deduplicated, len(cleaned)), deduplicated / "ledger.parquet")
    (work.output / "metrics.json").write_text(json.dumps(metrics, indent=1, sort_keys=True))
    return metrics
