"""Ingest: everything the recipe's sources hold, as one Parquet of documents.

Identity includes the content of local files: an edited, added or renamed book is seen.
"""

from __future__ import annotations

from data.sources.config import IngestConfig
from data.sources.files import source_state
from data.sources.ingest import ingest as read_sources
from tasks.stage.stage import Metrics, Workspace, stage


@stage(libraries=("pyarrow", "charset-normalizer"), observes=source_state)
def ingest(config: IngestConfig, work: Workspace) -> Metrics:
    """Sources -> documents.parquet, quarantine.parquet, ledger.parquet (and the truth of a generated universe)."""
    return read_sources(config, work.output, root=work.root, cache=work.cache)
