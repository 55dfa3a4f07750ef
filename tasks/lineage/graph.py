"""The provenance graph: which artifact was made from which, read from the records of a store alone.

It needs neither MLflow nor Prefect. Edges are followed by address; an input whose record has been deleted is reported as missing.
Loading reads every record: about 1.5 s for 10,000 of them on a local disk.

A store at the moment it was read: its provenance graph, its runs, and the stages that explain its artifacts.

All lineage queries read one snapshot. The caller passes in the stages, so lineage imports none of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO

from tasks.lineage.hook import LineageHook, unknown_stage
from tasks.stage.stage import Stage
from tasks.stage.store.artifact import Artifact, InputRecord
from tasks.stage.store.journal import Journal
from tasks.stage.store.store import Store
from tasks.stage.store.verdicts import Approval, acceptances, approvals, subject_of

MIN_PREFIX = 8


@dataclass(frozen=True)
class ProvenanceGraph:
    """Every record of a store by address.

    `accepted`: an artifact's address -> (key it was accepted for, reason); `answers`: what a person answered about a verdict, by what the
    answer is about.
    """

    by_address: Mapping[str, Artifact]
    accepted: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    answers: Mapping[str, Approval] = field(default_factory=dict)

    @classmethod
    def load(cls, store: Store) -> ProvenanceGraph:
        """Read all records, acceptances and answers of a store."""
        accepted: dict[str, tuple[tuple[str, str], ...]] = {}
        for acceptance in acceptances(store):
            accepted[acceptance.instead] = (*accepted.get(acceptance.instead, ()), (acceptance.key, acceptance.reason))
        answers = {approval.subject: approval for approval in approvals(store)}
        return cls({artifact.address: artifact for artifact in store.records()}, accepted, answers)

    def answer(self, artifact: Artifact) -> Approval | None:
        """Return what a person answered about an artifact that is a verdict; None if nobody did."""
        return self.answers.get(subject_of(artifact)) if self.answers else None

    @cached_property
    def newest_first(self) -> list[Artifact]:
        """Every artifact, newest first."""
        return sorted(self.by_address.values(), key=lambda a: a.origin.created, reverse=True)

    @cached_property
    def consumers(self) -> Mapping[str, list[tuple[str, Artifact]]]:
        """Address -> (input's name, artifact) of everything made from it, oldest first."""
        found: dict[str, list[tuple[str, Artifact]]] = {}
        for artifact in reversed(self.newest_first):
            for name, source in artifact.inputs.items():
                found.setdefault(source.address, []).append((name, artifact))
        return found

    def find(self, text: str) -> tuple[Artifact, ...]:
        """Return the artifact with this location, address, key, digest (or 8 or more digits of one), or MLflow run or model id; () if none.

        A location without a key, such as clean/universe, means the newest artifact; for a sharded stage, the newest of every shard.
        """
        if not text:
            return ()
        for artifact in self.newest_first:
            origin = artifact.origin
            unversioned = artifact.location.rpartition("-")[0]
            if text in (artifact.location, unversioned, origin.mlflow_run_id, origin.mlflow_model_id):
                return (artifact,)
            if shard_of(artifact) and text == unversioned.rpartition("-")[0]:
                return self._all_shards(artifact)
        size = len(text)
        prefixed = (a for a in self.newest_first if size >= MIN_PREFIX and text in (a.address[:size], a.key[:size], a.digest[:size]))
        return tuple(prefixed)[:1]

    def _all_shards(self, artifact: Artifact) -> tuple[Artifact, ...]:
        """The newest artifact of every shard of a sharded stage, in shard order."""
        found: dict[str, Artifact] = {}
        for other in self.newest_first:
            if shard_group(other) == shard_group(artifact):
                found.setdefault(other.label, other)
        return tuple(sorted(found.values(), key=lambda a: int(a.label.rpartition("-")[2])))

    def with_content(self, sha256: str) -> list[Artifact]:
        """Return the artifacts that have a file with this content, newest first."""
        return [a for a in self.newest_first if any(file.sha256 == sha256 for file in a.files)]

    def containing(self, path: Path) -> Artifact | None:
        """Return the artifact whose folder contains a path."""
        whole = f"{path.as_posix()}/"
        return next((a for a in self.newest_first if f"/{a.location}/" in whole), None)

    def ancestors(self, *artifacts: Artifact) -> list[Artifact]:
        """Return some artifacts and everything they were made from, each once."""
        seen: dict[str, Artifact] = {}
        queue = list(artifacts)
        while queue:
            current = queue.pop(0)
            if current.address not in seen:
                seen[current.address] = current
                queue += [self.by_address[i.address] for i in current.inputs.values() if i.address in self.by_address]
        return list(seen.values())

    def descendants(self, *artifacts: Artifact) -> list[Artifact]:
        """Return some artifacts, then everything made from them, each once, in order of creation."""
        found = {artifact.address: artifact for artifact in artifacts}
        queue = list(found)
        while queue:
            for _, consumer in self.consumers.get(queue.pop(), ()):
                if consumer.address not in found:
                    found[consumer.address] = consumer
                    queue.append(consumer.address)
        first = {artifact.address for artifact in artifacts}
        return [*artifacts, *sorted((a for a in found.values() if a.address not in first), key=lambda a: a.origin.created)]

    def missing_inputs(self, artifacts: Iterable[Artifact]) -> list[InputRecord]:
        """Return the inputs of some artifacts whose records are not in the store, each once."""
        inputs = (source for artifact in artifacts for source in artifact.inputs.values())
        return list({source.address: source for source in inputs if source.address not in self.by_address}.values())


def sinks(artifacts: Iterable[Artifact]) -> list[Artifact]:
    """Return the artifacts from which none of the others was made."""
    candidates = list(artifacts)
    consumed = {source.address for artifact in candidates for source in artifact.inputs.values()}
    return [artifact for artifact in candidates if artifact.address not in consumed]


def shard_of(artifact: Artifact) -> str:
    """Return which shard of how many an artifact is, such as "3 of 8"; "" if its stage is not sharded."""
    return artifact.ingredients.get("shard", "")


def shard_group(artifact: Artifact) -> tuple[str, ...]:
    """Return what the shards of one stage have in common: stage, recipe and shard count. For any other artifact, its address."""
    shard = shard_of(artifact)
    return (artifact.stage, artifact.label.rpartition("-")[0], shard.rpartition(" ")[2]) if shard else (artifact.address,)


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


def release_objection(graph: ProvenanceGraph, exported: Artifact) -> str:
    """Return why an export is not released, and what changes that; "" if its newest gate passed or was overruled, and nobody refused it."""
    gates = [a for a in graph.descendants(exported) if a.stage == "gate"]
    if not gates:
        return "no release gate has judged it; run its recipe to the end"
    answer = graph.answer(gates[-1])
    if answer and not answer.approved:
        return f"it was {answer.words}; `folio approve` can change the answer"
    if 1.0 not in (gates[-1].metrics["passed"], gates[-1].metrics["overruled"]):
        return "it did not pass its release gate; gates.release.overrule in its recipe gives a reason to release it all the same"
    return ""
