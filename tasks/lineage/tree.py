"""A lineage as an indented tree of lines: backward to what an artifact was made from, or forward to what was made from it.

Each artifact is expanded once and referred to afterwards, so a tree has one line per input, not one per path. The shards of a stage share
a line unless `unfold` is set. An input whose record is gone has a line of its own.

A lineage as plain data for machines: every artifact with its configuration, origin, cost and seeds, and the edges between them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from typing import Any

from tasks.lineage.graph import ProvenanceGraph, shard_group, shard_of
from tasks.lineage.resolve import Subject
from tasks.stage.identity.key import flatten
from tasks.stage.store.artifact import Artifact, InputRecord, without_shard
from tasks.stage.store.journal import RunRecord
from tasks.stage.tracking.cost import Rates, total_cost

DIGEST_DIGITS = 8


@dataclass(frozen=True)
class TreeLine:
    """One line: an artifact, or the shards of one stage, some of which may be missing. `role`: its input name on the line above."""

    role: str
    artifacts: tuple[Artifact, ...]
    missing: tuple[InputRecord, ...] = ()

    @property
    def members(self) -> list[Artifact | InputRecord]:
        """The artifacts, then the inputs whose records are gone."""
        return [*self.artifacts, *self.missing]

    @property
    def addresses(self) -> tuple[str, ...]:
        """Addresses of all members."""
        return tuple(member.address for member in self.members)

    @property
    def stage(self) -> str:
        """The stage that all members share."""
        return self.members[0].stage

    def text(self, graph: ProvenanceGraph) -> str:
        """Return the line without its role."""
        words = _words(graph, self.artifacts)
        if len(self.addresses) > 1:
            lost = f"  ({len(self.missing)} of their records are gone)" if self.missing else ""
            recipe = self.members[0].location.rpartition("-")[0].rpartition("-")[0].partition("/")[2]
            return f"{self.stage} x {len(self.addresses)}  {recipe}{lost}{words}"
        if self.missing:
            return f"{self.missing[0].location} (its record is gone)"
        return f"{self.artifacts[0].location}  digest {self.artifacts[0].digest[:DIGEST_DIGITS]}{words}"


def render_tree(
    graph: ProvenanceGraph, roots: Iterable[Artifact], *, forward: bool = False, unfold: bool = False, only: Set[str] | None = None
) -> list[str]:
    """Return the lineage of some artifacts as lines. `only`: the addresses that a forward tree may show, by default all."""
    shown: set[str] = set()
    return [text for line in fold_shards("", roots, unfold) for text in _branch(graph, line, 0, shown, forward, unfold, only)]


def fold_shards(role: str, artifacts: Iterable[Artifact], unfold: bool) -> list[TreeLine]:
    """Return a line for each artifact, the shards of a stage that were made together sharing one unless `unfold`."""
    if unfold:
        return [TreeLine(role, (artifact,)) for artifact in artifacts]
    grouped: dict[tuple[str, ...], list[Artifact]] = {}
    generations: dict[tuple[str, ...], int] = {}
    for artifact in artifacts:
        shard = (*shard_group(artifact), shard_of(artifact))
        # The same shard a second time was made by another execution, which gets a line of its own.
        generations[shard] = generations.get(shard, 0) + 1
        grouped.setdefault((*shard_group(artifact), str(generations[shard])), []).append(artifact)
    return [TreeLine(role, tuple(together)) for together in grouped.values()]


def _inputs(graph: ProvenanceGraph, line: TreeLine, unfold: bool) -> list[TreeLine]:
    """The inputs of a line, a line each."""
    by_role: dict[str, dict[str, InputRecord]] = {}
    for artifact in line.artifacts:
        for name, source in artifact.inputs.items():
            by_role.setdefault(name if unfold else without_shard(name), {}).setdefault(source.address, source)
    found = []
    for role, sources in by_role.items():
        artifacts = tuple(graph.by_address[address] for address in sources if address in graph.by_address)
        missing = tuple(source for address, source in sources.items() if address not in graph.by_address)
        found.append(TreeLine(role, artifacts, missing))
    return found


def _outputs(graph: ProvenanceGraph, line: TreeLine, unfold: bool, only: Set[str] | None) -> list[TreeLine]:
    """The lines that were made from a line, in order of creation."""
    consumers: dict[str, Artifact] = {}
    roles: dict[str, list[str]] = {}
    for address in line.addresses:
        for name, consumer in graph.consumers.get(address, ()):
            if only is None or consumer.address in only:
                consumers[consumer.address] = consumer
                roles.setdefault(consumer.address, []).append(without_shard(name))
    by_role: dict[str, list[Artifact]] = {}
    for address, consumer in consumers.items():
        by_role.setdefault(", ".join(dict.fromkeys(roles[address])), []).append(consumer)
    found = [output for role, artifacts in by_role.items() for output in fold_shards(role, artifacts, unfold)]
    return sorted(found, key=lambda output: min(a.origin.created for a in output.artifacts))


def _branch(
    graph: ProvenanceGraph, line: TreeLine, depth: int, shown: set[str], forward: bool, unfold: bool, only: Set[str] | None
) -> Iterator[str]:
    role = f"{'as ' if forward else ''}{line.role}: " if line.role else ""
    text = f"{'  ' * depth}{role}{line.text(graph)}"
    if shown.issuperset(line.addresses):
        yield f"{text}  (above)"
        return
    shown.update(a.address for a in line.artifacts)
    yield text
    for child in _outputs(graph, line, unfold, only) if forward else _inputs(graph, line, unfold):
        yield from _branch(graph, child, depth + 1, shown, forward, unfold, only)


def _words(graph: ProvenanceGraph, artifacts: Iterable[Artifact]) -> str:
    accepted = (entry for artifact in artifacts for entry in graph.accepted.get(artifact.address, ()))
    answers = [answer.words for artifact in artifacts if (answer := graph.answer(artifact))]
    marks = [f"accepted for key {key[:DIGEST_DIGITS]}: {reason}" for key, reason in accepted] + answers
    return "".join(f"  ({mark})" for mark in marks)


def lineage_json(graph: ProvenanceGraph, subject: Subject, artifacts: list[Artifact], forward: bool, rates: Rates) -> dict[str, Any]:
    """Return a lineage as nodes and edges. `artifacts`: all that belong to the lineage of `subject`, itself included."""
    inside = {artifact.address for artifact in artifacts}
    missing = [] if forward else graph.missing_inputs(artifacts)
    edges = [
        {"from": source.address, "to": artifact.address, "as": name, "part": source.part, "digest": source.digest}
        for artifact in artifacts
        for name, source in artifact.inputs.items()
        if source.address in inside or not forward
    ]
    lost = [{**source.model_dump(exclude={"part"}), "gone": True} for source in missing]
    cost = total_cost(artifacts)
    return {
        "thing": {"kind": subject.kind, "words": subject.description, "document": subject.document.id if subject.document else None,
                  "run": subject.run.id if subject.run else None},
        "direction": "forward" if forward else "back",
        "roots": [artifact.address for artifact in subject.roots],
        "nodes": [*(_node(graph, artifact) for artifact in artifacts), *lost],
        "edges": edges,
        "cost": cost.model_dump() | {"money": rates.price(cost), "currency": rates.currency},
        "commits": commit_counts(artifacts),
    }  # fmt: skip


def _node(graph: ProvenanceGraph, artifact: Artifact) -> dict[str, Any]:
    names = {"stage", "label", "key", "address", "trace", "digest", "location", "config", "metrics", "cost", "origin"}
    # Through JSON, since plain data cannot hold NaN: there it is the text "NaN".
    fields: dict[str, Any] = json.loads(artifact.model_dump_json(include=names))
    accepted = [{"key": key, "reason": reason} for key, reason in graph.accepted.get(artifact.address, ())]
    answer = graph.answer(artifact)
    people = {"accepted": accepted, "answer": answer.words if answer else ""}
    return fields | {"shard": shard_of(artifact), "seeds": seeds(artifact), **people, "gone": False}


def seeds(artifact: Artifact) -> dict[str, int]:
    """Return the seeds in an artifact's configuration, by their dotted names."""
    leaves = flatten(artifact.config, "") if artifact.config else {}
    return {name.lstrip("."): json.loads(value) for name, value in leaves.items() if name.rpartition(".")[2] == "seed"}


def commit_counts(artifacts: Iterable[Artifact]) -> dict[str, int]:
    """Count artifacts by the git commit they were made at; uncommitted changes are marked."""
    found: dict[str, int] = {}
    for artifact in artifacts:
        name = f"{artifact.origin.git_commit or 'unknown'}{' with changes' if artifact.origin.git_dirty else ''}"
        found[name] = found.get(name, 0) + 1
    return found


def rates_of(runs: Iterable[RunRecord], artifacts: Iterable[Artifact]) -> Rates:
    """Return the prices of the newest run that had one of these artifacts; no prices if no run had any."""
    addresses = {artifact.address for artifact in artifacts}
    for run in runs:
        if addresses & {recorded.address for recorded in run.positions.values()}:
            return Rates.model_validate(run.configuration.get("rates", {}))
    return Rates()
