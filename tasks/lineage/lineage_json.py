"""A lineage as plain data for machines: every artifact with its configuration, origin, cost and seeds, and the edges between them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tasks.lineage.graph import ProvenanceGraph, shard_of
from tasks.lineage.resolve import Subject
from tasks.stage.identity.key import flatten
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.journal import RunRecord
from tasks.stage.tracking.cost import Rates, total_cost


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
