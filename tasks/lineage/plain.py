"""A lineage as plain data, for machines: every artifact with its configuration, origin, cost and seeds, and the edges between them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from tasks.lineage.records import Graph, shard_of
from tasks.lineage.things import Thing
from tasks.stage.identity.key import flatten
from tasks.stage.store.artifact import Artifact
from tasks.stage.store.journal import RunRecord
from tasks.stage.tracking.cost import Rates, total_cost


def lineage_data(graph: Graph, thing: Thing, artifacts: list[Artifact], forward: bool, rates: Rates) -> dict[str, Any]:
    """`artifacts`: all that belongs to the lineage of `thing`, itself included."""
    inside = {artifact.key for artifact in artifacts}
    gone = [] if forward else graph.gone(artifacts)
    edges = [
        {"from": given.key, "to": artifact.key, "as": name, "part": given.part, "digest": given.digest}
        for artifact in artifacts
        for name, given in artifact.inputs.items()
        if given.key in inside or not forward
    ]
    lost = [{**given.model_dump(exclude={"part"}), "gone": True} for given in gone]
    whole = total_cost(artifacts)
    return {
        "thing": {"kind": thing.kind, "words": thing.words, "document": thing.document.id if thing.document else None,
                  "run": thing.run.id if thing.run else None},
        "direction": "forward" if forward else "back",
        "roots": [artifact.key for artifact in thing.roots],
        "nodes": [*(_node(graph, artifact) for artifact in artifacts), *lost],
        "edges": edges,
        "cost": whole.model_dump() | {"money": rates.price(whole), "currency": rates.currency},
        "commits": commits(artifacts),
    }  # fmt: skip


def _node(graph: Graph, artifact: Artifact) -> dict[str, Any]:
    told = graph.accepted.get(artifact.key, ())
    names = {"stage", "label", "key", "digest", "location", "config", "metrics", "cost", "origin"}
    # Through JSON, where a metric that is no number is text.
    kept: dict[str, Any] = json.loads(artifact.model_dump_json(include=names))
    accepted = [{"key": key, "reason": reason} for key, reason in told]
    return kept | {"shard": shard_of(artifact), "seeds": seeds(artifact), "accepted": accepted, "gone": False}


def seeds(artifact: Artifact) -> dict[str, int]:
    """The seeds in an artifact's configuration, by their dotted names."""
    leaves = flatten(artifact.config, "") if artifact.config else {}
    return {name.lstrip("."): json.loads(value) for name, value in leaves.items() if name.rpartition(".")[2] == "seed"}


def commits(artifacts: Iterable[Artifact]) -> dict[str, int]:
    """How many artifacts were made at each commit; one with uncommitted changes is marked so."""
    found: dict[str, int] = {}
    for artifact in artifacts:
        name = f"{artifact.origin.git_commit or 'unknown'}{' with changes' if artifact.origin.git_dirty else ''}"
        found[name] = found.get(name, 0) + 1
    return found


def rates_of(runs: Iterable[RunRecord], artifacts: Iterable[Artifact]) -> Rates:
    """The prices of the newest run that had one of these artifacts; none when no run tells."""
    keys = {artifact.key for artifact in artifacts}
    for run in runs:
        if keys & {place.key for place in run.places.values()}:
            return Rates.model_validate(run.configuration.get("rates", {}))
    return Rates()
