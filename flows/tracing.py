"""`folio lineage`: from a thing to all that made it, or to all that was made from it."""

from __future__ import annotations

from pathlib import Path

from flows.services import home, store_url
from tasks.stage.cost import total_cost
from tasks.stage.lineage import Graph, tree
from tasks.stage.opening import open_store
from tasks.stage.progress import clock


def trace(thing: str, forward: bool, store: str) -> str:
    """The lineage as text. Raises LookupError when nothing in the store is called `thing`."""
    graph = Graph.of(open_store(store or store_url(), Path.cwd(), home()))
    artifact = graph.find(thing)
    if forward:
        return "\n".join(f"{made.location}  digest {made.digest[:8]}" for made in graph.descendants(artifact))
    cost = total_cost(graph.ancestors(artifact))
    spent = f"cost of all of it: {clock(cost.wall_seconds)} wall, {clock(cost.cpu_seconds)} CPU"
    return "\n".join([*tree(graph, artifact), spent, f"git commit {artifact.origin.git_commit or 'unknown'}"])
