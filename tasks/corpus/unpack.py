"""Unpack: open the archives and files of records that several shards of ingest would have to open, once, and give each shard its slice.

The files are divided into groups by their names, and the key of a group includes the names and content of its files, so an archive that is
edited is unpacked again with those of its group, and ingest reruns the shards whose slice has changed.
"""

from __future__ import annotations

from typing import IO

from data.documents.sharding import SLICE, shard_of
from data.provenance.tables import rows_of
from data.sources.config import IngestConfig
from data.sources.files import groups_at_work, unpack_state
from data.sources.unpacking.sharing import GROUPS
from tasks.lineage.hook import Holding, Inspection, LineageHook
from tasks.stage.execution.run import current_run
from tasks.stage.stage import Metrics, Workspace, stage
from tasks.stage.store.artifact import SlicedArtifact


def holds_document(stream: IO[bytes], identity: str) -> bool:
    """Return whether a slice has words of a document."""
    from data.sources.unpacking.slices import HELD

    return any(row["item"] in HELD for row in rows_of(stream, identity, ("item",)))


def has_words(inspection: Inspection) -> Holding:
    """A group of files: the slice of the document's shard, if it has the document."""
    slices = [known.path for known in inspection.artifact.files if known.path.endswith(".parquet")]
    mine = SLICE.format(shard_of(inspection.document.id, len(slices)))
    return inspection.holding({mine} if inspection.read(mine, holds_document) else ())


@stage(observes=unpack_state, hooks=(LineageHook(has_words),))
def unpack(config: IngestConfig, work: Workspace) -> Metrics:
    """Archives and files of records -> a slice for each shard of ingest: 0000.parquet and so on."""
    from data.sources.unpacking.unpack import unpack as open_files

    if work.shard is None:
        raise ValueError("files are unpacked by groups; call unpack.over(GROUPS)")
    return open_files(config, work.output, work.root, work.cache, work.shard, work.observed, **work.limits)


def unpacked(config: IngestConfig) -> SlicedArtifact | None:
    """Unpack what the shards of ingest do not open themselves; None if there is nothing of the kind."""
    groups = groups_at_work(config, current_run().root)
    return SlicedArtifact(made=unpack.over(GROUPS, groups)(config), name=SLICE) if groups else None
