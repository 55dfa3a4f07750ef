"""Filter: detect languages, remove what published heuristics, block lists or a classifier reject, and redact personal data.

The key includes the content of the recipe's block lists, and of the model that finds names.
"""

from __future__ import annotations

from pathlib import Path

from data.filtering.config import FilterConfig
from data.filtering.observed_files import observed_digests
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import document_tables
from tasks.reporting.cleaning import PERSONAL
from tasks.reporting.hook import ReportHook
from tasks.stage.stage import Metrics, Workspace, stage


@stage(
    observes=observed_digests,
    hooks=(LineageHook(document_tables, in_corpus=True), ReportHook(PERSONAL, title="filtered")),
)
def filter(config: FilterConfig, work: Workspace, documents: Path, classifier: Path | None = None) -> Metrics:
    """documents.parquet of a shard, a classifier if the recipe uses one -> documents.parquet, ledger.parquet, edits.parquet, removed/.

    With redaction also personal_data.json, of the first shard: how well personal data is found where it is known.
    """
    from data.filtering.filter import filter_documents
    from data.filtering.observed_files import ObservedFiles
    from data.filtering.pii.confusion import write_confusion

    files = ObservedFiles(work.root, work.observed)
    if config.pii.enabled and (work.shard is None or work.shard.number == 0):
        write_confusion(work.output, config.pii, files)
    return filter_documents(documents, work.output, config, files, classifier=classifier, progress=work.meter.show, **work.limits)
