"""Ingest: everything the recipe's sources hold, shard by shard, as Parquet of documents.

Identity includes the names and content of the local files that the shard's documents are made of: an edited, added or renamed book is
seen, and only by the shard that holds it; a file of records or an archive is seen by every shard.
"""

from __future__ import annotations

from pathlib import Path

from data.sources.config import IngestConfig
from data.sources.empty_sources import refuse_empty_sources
from data.sources.files import source_state
from data.sources.ingest import IngestInputs
from data.sources.ingest import ingest as read_sources
from tasks.lineage.hook import LineageHook
from tasks.lineage.rules import document_tables
from tasks.stage.execution.run import current_run
from tasks.stage.stage import Metrics, Workspace, stage
from tasks.stage.store.artifact import ShardedArtifact

LIBRARIES = ("pyarrow", "duckdb", "charset-normalizer", "markdown-it-py", "trafilatura", "lxml", "pypdfium2", "warcio")


@stage(libraries=LIBRARIES, observes=source_state, hooks=(LineageHook(document_tables, in_corpus=True, reads_sources=True),))
def ingest(config: IngestConfig, work: Workspace, universe: Path | None = None, synthetic: Path | None = None) -> Metrics:
    """Sources, books/ of a generated universe, and what a machine wrote -> documents.parquet, quarantine.parquet, ledger.parquet."""
    around = IngestInputs(work.root, work.cache, universe, work.observed, synthetic)
    return read_sources(config, work.output, around, work.shard, **work.limits)


def require_texts(config: IngestConfig, shards: ShardedArtifact) -> None:
    """Go on only if every source gave a text, in whichever shard; nothing while planning as long as a shard is to be made.

    Raises SourceError naming the source."""
    made, run = shards.artifacts(), current_run()
    if len(made) == len(shards.items):
        quarantines = (run.store.local(artifact) / "quarantine.parquet" for artifact in made)
        refuse_empty_sources(config, run.root, (artifact.metrics for artifact in made), quarantines)
