"""Audit: how much held-out text is also in the training split, what happened to every document, and how well it was cleaned.

It only measures; the corpus gate judges. It joins what was found in each shard, over ids, hashes and numbers, and reads texts only to quote
what leaks. For a generated universe, whose clean text is known, it scores cleaning and deduplication.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from data.audit.config import AuditConfig
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
    surveyed: list[Path],
    overlaps: list[Path],
    val: list[Path],
    test: list[Path],
    quarantined: list[Path],
    ingested: list[Path],
    cleaned: list[Path],
    deduplicated: Path,
    splits: list[Path],
    filtered: list[Path] | None = None,
    decontaminated: list[Path] | None = None,
    truth: Path | None = None,
    clean_texts: list[Path] | None = None,
    unique_texts: list[Path] | None = None,
) -> Metrics:
    """Surveys, overlaps, held-out texts and ledgers of each shard -> leaks.parquet, leaked_documents.parquet, funnel.json, metrics.json.

    `truth`: that of a universe, with which the cleaned and the deduplicated texts are compared."""
    from data.audit.audit import Shards
    from data.audit.audit import audit as audit_shards
    from data.universe.score import score

    ledgers = {"ingest": ingested, "clean": cleaned, "filter": filtered, "dedup": [deduplicated], "decontaminate": decontaminated}
    accounts = {name: files for name, files in (ledgers | {"split": splits}).items() if files}
    shards = Shards(surveyed, overlaps, {"val": val, "test": test}, accounts, quarantined)
    metrics = audit_shards(shards, work.output, config, **work.limits)
    if truth is not None:
        metrics |= score(truth, clean_texts or [], unique_texts or [], deduplicated)
    (work.output / "metrics.json").write_text(json.dumps(metrics, indent=1, sort_keys=True))
    return metrics
