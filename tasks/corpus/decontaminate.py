"""Decontaminate: remove text that the recipe's evaluation sets contain, and list it.

The key includes the names and content of those sets' files.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from data.decontamination.config import DecontaminateConfig
from data.decontamination.evaluation import evaluation_digests
from data.provenance.tables import has_document
from tasks.lineage.hook import Holding, Inspection, LineageHook
from tasks.lineage.inspections import document_tables
from tasks.reporting.hook import ReportHook
from tasks.stage.stage import Metrics, Workspace, stage

CONTAMINATED = "contaminated.parquet"


def _inspect(inspection: Inspection) -> Holding:
    """Its tables, and the list of contaminated passages, which quotes documents."""
    holding = document_tables(inspection)
    quoted = inspection.has(CONTAMINATED) and inspection.read(CONTAMINATED, has_document)
    return replace(holding, parts=holding.parts | {CONTAMINATED}) if quoted else holding


@stage(
    observes=evaluation_digests,
    hooks=(LineageHook(_inspect, in_corpus=True), ReportHook(title="decontaminated")),
)
def decontaminate(
    config: DecontaminateConfig, work: Workspace, documents: Path, test: Path | None = None, questions: Path | None = None
) -> Metrics:
    """documents.parquet, and what the run holds out -> documents.parquet, contaminated.parquet, ledger.parquet, removed/."""
    from data.decontamination.decontaminate import decontaminate as remove_evaluations

    held_out = {name: path for name, path in (("test", test), ("questions", questions)) if path is not None}
    return remove_evaluations(documents, work.output, config, root=work.root, observed=work.observed, held_out=held_out, **work.limits)
