"""Decontaminate: remove from a shard the passages that the recipe's evaluation sets contain, and list them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from data.decontamination.config import CutConfig
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


@stage(hooks=(LineageHook(_inspect, in_corpus=True), ReportHook(title="decontaminated")))
def decontaminate(config: CutConfig, work: Workspace, documents: Path, passages: Path) -> Metrics:
    """documents.parquet of a shard, its passages -> documents, sizes, contaminated and ledger.parquet, removed/."""
    from data.decontamination.decontaminate import decontaminate as remove_evaluations

    return remove_evaluations(documents, passages, work.output, config, **work.limits)
