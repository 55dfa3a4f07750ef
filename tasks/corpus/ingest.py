"""Ingest: read the recipe's sources, shard by shard, into Parquet tables of documents.

The key of a shard includes the names and content of the local files that its documents come from, so an edited, added or renamed book
reruns only the shard that holds it. Of an archive, or a file of many records, a shard depends on its slice alone (see unpack).
"""

from __future__ import annotations

from pathlib import Path

from data.sources.config import IngestConfig
from data.sources.conversation_config import ConversationIngest
from data.sources.empty_sources import refuse_empty_sources
from data.sources.files import source_state
from tasks.forecast.hook import WorkHook
from tasks.forecast.measures import source_bytes
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import document_tables
from tasks.reporting.hook import ReportHook
from tasks.stage.execution.run import current_run
from tasks.stage.stage import Metrics, Workspace, stage
from tasks.stage.store.artifact import ShardedArtifact


@stage(
    observes=source_state,
    hooks=(LineageHook(document_tables, in_corpus=True, reads_sources=True), ReportHook(title="read"), WorkHook(source_bytes)),
)
def ingest(
    config: IngestConfig | ConversationIngest,
    work: Workspace,
    universe: Path | None = None,
    synthetic: Path | None = None,
    unpacked: list[Path] | None = None,
) -> Metrics:
    """Sources, slices of what was unpacked, books/ of a universe, generated texts -> documents, quarantine and ledger.parquet."""
    from data.sources.ingest import IngestInputs
    from data.sources.ingest import ingest as read_sources

    around = IngestInputs(work.root, work.cache, universe, work.observed, synthetic, unpacked or ())
    return read_sources(config, work.output, around, work.shard, **work.limits)


def require_texts(config: IngestConfig, shards: ShardedArtifact) -> None:
    """Raise SourceError naming the source if one gave no text in any shard. Does nothing if a shard is only planned."""
    made, run = shards.artifacts(), current_run()
    if len(made) == len(shards.items):
        quarantines = (run.store.verified(artifact, "quarantine.parquet") for artifact in made)
        refuse_empty_sources(config, run.root, (artifact.metrics for artifact in made), quarantines)
