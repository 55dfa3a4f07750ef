"""`folio lineage`: what made a thing, or what was made from it."""

from __future__ import annotations

import json
from pathlib import Path

from flows.cli.snapshot import open_snapshot
from tasks.lineage.holdings import find_holdings
from tasks.lineage.lineage_json import commit_counts, lineage_json, rates_of, seeds
from tasks.lineage.resolve import Subject, resolve
from tasks.lineage.snapshot import StoreSnapshot
from tasks.lineage.tree import render_tree
from tasks.reporting.lineage_drawing import as_file, draw_graph
from tasks.reporting.stages import spent
from tasks.stage.store.artifact import Artifact
from tasks.stage.system.atomic_files import write_atomically
from tasks.stage.tracking.cost import total_cost


def show_lineage(
    thing: str, *, forward: bool = False, unfold: bool = False, as_json: bool = False, drawing: Path | None = None, store: str = ""
) -> str:
    """Return a lineage as text or JSON, and draw it if asked. Raises LookupError if nothing in the store is called `thing`."""
    if unfold and as_json and drawing is None:
        raise ValueError("--all unfolds the tree and the drawing; --json always lists every shard. Leave one of them out.")
    snapshot = open_snapshot(store)
    found = resolve(snapshot, thing)
    artifacts = _lineage(snapshot, found, forward)
    if drawing is not None:
        drawn = draw_graph(snapshot.graph, artifacts, forward=forward, unfold=unfold)
        write_atomically(drawing, as_file(drawn).encode())
    rates = rates_of(snapshot.journal.records(), artifacts)
    if as_json:
        return json.dumps(lineage_json(snapshot.graph, found, artifacts, forward, rates), indent=1)
    only = {artifact.address for artifact in artifacts}
    lines = [
        *([found.description] if found.description else []),
        *render_tree(snapshot.graph, found.roots, forward=forward, unfold=unfold, only=only),
    ]
    lines.append(f"cost of all of it: {spent(total_cost(artifacts), rates)}")
    if not forward:
        numbers = {f"{artifact.stage}.{name}={seed}" for artifact in artifacts for name, seed in seeds(artifact).items()}
        lines += [f"seeds: {', '.join(sorted(numbers))}"] if numbers else []
        lines += [f"git commit {name}, {count} of {len(artifacts)} artifacts" for name, count in commit_counts(artifacts).items()]
    return "\n".join([*lines, *([f"drawn in {drawing}"] if drawing else [])])


def _lineage(snapshot: StoreSnapshot, found: Subject, forward: bool) -> list[Artifact]:
    """Return the artifacts in a thing's lineage. Forward from a document, only those that hold or learned from its words."""
    if not forward:
        return snapshot.graph.ancestors(*found.roots)
    if found.document is None:
        return snapshot.graph.descendants(*found.roots)
    holding = {held.artifact.address for held in find_holdings(snapshot, found.document) if held.affected}
    return [artifact for artifact in snapshot.graph.descendants(*found.roots) if artifact.address in holding]
