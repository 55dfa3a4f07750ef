"""`folio lineage`: from a thing to all that made it, or to all that was made from it."""

from __future__ import annotations

import json
from pathlib import Path

from flows.services.local import home, store_url
from tasks.lineage.holdings import holdings
from tasks.lineage.plain import commits, lineage_data, rates_of, seeds
from tasks.lineage.things import Library, Thing, find
from tasks.lineage.tree import tree
from tasks.reporting.lineage_drawing import draw_graph, standing_alone
from tasks.reporting.stages import spent
from tasks.stage.execution.run_context import open_store
from tasks.stage.store.artifact import Artifact
from tasks.stage.system.atomic_files import write_whole
from tasks.stage.tracking.cost import total_cost


def trace(
    thing: str, *, forward: bool = False, unfold: bool = False, as_json: bool = False, drawing: Path | None = None, store: str = ""
) -> str:
    """The lineage as text or JSON, and as an SVG file when asked. Raises LookupError when nothing in the store is called `thing`."""
    if unfold and as_json and drawing is None:
        raise ValueError("--all unfolds the tree and the drawing; --json has every shard by itself in any case. Leave one of them out.")
    library = library_at(store)
    found = find(library, thing)
    artifacts = _lineage(library, found, forward)
    if drawing is not None:
        drawn = draw_graph(library.graph, artifacts, forward=forward, unfold=unfold)
        write_whole(drawing, standing_alone(drawn).encode())
    rates = rates_of(library.journal.records(), artifacts)
    if as_json:
        return json.dumps(lineage_data(library.graph, found, artifacts, forward, rates), indent=1)
    only = {artifact.key for artifact in artifacts}
    lines = [*([found.words] if found.words else []), *tree(library.graph, found.roots, forward=forward, unfold=unfold, only=only)]
    lines.append(f"cost of all of it: {spent(total_cost(artifacts), rates)}")
    if not forward:
        numbers = {f"{artifact.stage}.{name}={seed}" for artifact in artifacts for name, seed in seeds(artifact).items()}
        lines += [f"seeds: {', '.join(sorted(numbers))}"] if numbers else []
        lines += [f"git commit {name}, {count} of {len(artifacts)} artifacts" for name, count in commits(artifacts).items()]
    return "\n".join([*lines, *([f"drawn in {drawing}"] if drawing else [])])


def library_at(store: str) -> Library:
    """The store at a path or URL, by default the one in folio's home, with its records."""
    return Library.of(open_store(store or store_url(), Path.cwd(), home()))


def _lineage(library: Library, found: Thing, forward: bool) -> list[Artifact]:
    """All that belongs to the lineage of a thing; a document goes on only where its words or what was learned from them do."""
    if not forward:
        return library.graph.ancestors(*found.roots)
    if found.document is None:
        return library.graph.descendants(*found.roots)
    holding = {held.artifact.key for held in holdings(library, found.document) if held.touched}
    return [artifact for artifact in library.graph.descendants(*found.roots) if artifact.key in holding]
