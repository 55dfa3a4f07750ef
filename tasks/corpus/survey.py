"""Survey: describe the documents of a shard for the audit, which reads no texts.

Of each document after each stage it keeps the length, source, title and the like; of those held out, their n-grams as hashes.
"""

from __future__ import annotations

from pathlib import Path

from data.audit.config import DESCRIBED, GramConfig
from data.provenance.tables import has_document
from tasks.lineage.hook import Holding, Inspection, LineageHook
from tasks.stage.stage import Metrics, Workspace, stage


def _inspect(inspection: Inspection) -> Holding:
    """Its table has titles, which may be words of the documents."""
    named = inspection.has(DESCRIBED) and inspection.read(DESCRIBED, has_document)
    return inspection.holding({DESCRIBED} if named else (), detail="its title" if named else "")


@stage(hooks=(LineageHook(_inspect),))
def survey(
    config: GramConfig,
    work: Workspace,
    ingested: Path,
    cleaned: Path,
    deduplicated: Path,
    splits: Path,
    filtered: Path | None = None,
    decontaminated: Path | None = None,
) -> Metrics:
    """documents.parquet of a shard after each stage, and its splits -> described.parquet, grams.parquet."""
    from data.audit.survey import survey as survey_shard

    stages = {"ingest": ingested, "clean": cleaned, "filter": filtered, "dedup": deduplicated, "decontaminate": decontaminated}
    return survey_shard({name: path for name, path in stages.items() if path}, splits, work.output, config, **work.limits)
