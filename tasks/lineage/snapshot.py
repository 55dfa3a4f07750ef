"""A store at the moment it was read: its provenance graph, its runs, and the stages that explain its artifacts.

All lineage queries read one snapshot. The caller passes in the stages, so lineage imports none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO

from tasks.lineage.graph import ProvenanceGraph
from tasks.lineage.hook import LineageHook
from tasks.lineage.inspections import unknown_stage
from tasks.stage.stage import Stage
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.journal import Journal
from tasks.stage.store.store import Store

UNKNOWN = LineageHook(unknown_stage)


@dataclass(frozen=True)
class StoreSnapshot:
    """A store with its records and runs, read once. `stages`: the known stages by name."""

    store: Store
    graph: ProvenanceGraph
    journal: Journal
    stages: Mapping[str, Stage]

    @classmethod
    def load(cls, store: Store, stages: Mapping[str, Stage]) -> StoreSnapshot:
        """Read all records of a store."""
        return cls(store, ProvenanceGraph.load(store), Journal(store), stages)

    def open(self, artifact: Artifact, file: str) -> IO[bytes]:
        """Open a file of an artifact for reading, without copying it from a remote store. Raise FileNotFoundError if it is gone."""
        stream: IO[bytes] = self.store.fs.open(f"{self.store.root}/{artifact.files_at}/{file}", "rb")
        return stream

    def hook(self, artifact: Artifact) -> LineageHook:
        """Return the hook of an artifact's stage. An unknown stage, or one without a hook, may hold whatever its inputs hold."""
        stage = self.stages.get(artifact.stage)
        return (stage.hook(LineageHook) if stage else None) or UNKNOWN
