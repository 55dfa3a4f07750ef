"""What made what, read from the records of a store alone: it works when MLflow and Prefect are gone.

Guarantees: `ancestors` and `descendants` follow inputs by key; an input whose record is gone is shown as gone, not left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tasks.stage.artifact import Artifact, Cost, hash_file
from tasks.stage.store import Store


@dataclass(frozen=True)
class Graph:
    """Every record of a store by key."""

    by_key: dict[str, Artifact]

    @classmethod
    def of(cls, store: Store) -> Graph:
        """Read all records."""
        return cls({artifact.key: artifact for artifact in store.records()})

    def find(self, text: str) -> Artifact:
        """The artifact meant by a location, a key or digest prefix (8 or more), an MLflow run id, or a file on disk.

        Raises LookupError naming what was looked for.
        """
        path = Path(text)
        digest = hash_file(path) if path.is_file() else ""
        for artifact in sorted(self.by_key.values(), key=lambda a: a.origin.created, reverse=True):
            names = {artifact.location, artifact.origin.mlflow_run_id, artifact.origin.mlflow_model_id}
            prefixed = len(text) >= 8 and (artifact.key.startswith(text) or artifact.digest.startswith(text))
            holds = bool(digest) and any(file.sha256 == digest for file in artifact.files)
            if text in names or prefixed or holds:
                return artifact
        raise LookupError(f"Nothing in the store is called {text!r}: give a location such as clean/universe-1a2b3c4d, a key, a digest, a run id or a file.")

    def ancestors(self, artifact: Artifact) -> list[Artifact]:
        """Everything `artifact` was made from, itself first, each once."""
        seen: dict[str, Artifact] = {}
        waiting = [artifact]
        while waiting:
            current = waiting.pop(0)
            if current.key not in seen:
                seen[current.key] = current
                waiting += [self.by_key[i.key] for i in current.inputs.values() if i.key in self.by_key]
        return list(seen.values())

    def descendants(self, artifact: Artifact) -> list[Artifact]:
        """Everything made from `artifact`, itself first, each once, in order of creation."""
        keys = {artifact.key}
        for other in sorted(self.by_key.values(), key=lambda a: a.origin.created):
            if any(i.key in keys for i in other.inputs.values()):
                keys.add(other.key)
        return sorted((self.by_key[k] for k in keys), key=lambda a: (a.key != artifact.key, a.origin.created))


def total_cost(artifacts: Iterable[Artifact]) -> Cost:
    """Cumulative cost of a lineage."""
    costs = [artifact.cost for artifact in artifacts]
    return Cost(
        wall_seconds=round(sum(c.wall_seconds for c in costs), 1),
        cpu_seconds=round(sum(c.cpu_seconds for c in costs), 1),
        gpu_seconds=round(sum(c.gpu_seconds for c in costs), 1),
    )


def tree(graph: Graph, artifact: Artifact, indent: str = "") -> list[str]:
    """The lineage as indented lines, from what was made to what it was made from."""
    lines = [f"{indent}{artifact.location}  digest {artifact.digest[:8]}"]
    for name, given in artifact.inputs.items():
        parent = graph.by_key.get(given.key)
        if parent is None:
            lines.append(f"{indent}  {name}: {given.location} (its record is gone)")
        else:
            child = tree(graph, parent, indent + "  ")
            lines += [f"{indent}  {name}: {child[0].strip()}", *child[1:]]
    return lines
