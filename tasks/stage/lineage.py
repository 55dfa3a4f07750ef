"""What made what, read from the records of a store alone: it works when MLflow and Prefect are gone.

Guarantees: `ancestors` and `descendants` follow inputs by key; an input whose record is gone is shown as gone, not left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tasks.stage.artifact import Artifact
from tasks.stage.digests import hash_file
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
        """The artifact meant by a location or folder, a key or digest prefix (8 or more), an MLflow id, or a file on disk.

        A location without its key, such as clean/universe, means the newest. Raises LookupError naming what was looked for.
        """
        newest = sorted(self.by_key.values(), key=lambda a: a.origin.created, reverse=True)
        path = Path(text).resolve()
        lying = [a for a in newest if f"/{a.location}/" in f"{path.as_posix()}/"]
        names = {a.key: (a.location, a.location.rpartition("-")[0], a.origin.mlflow_run_id, a.origin.mlflow_model_id) for a in newest}
        named = [a for a in newest if text and text in names[a.key]]
        start = len(text)
        prefixed = [a for a in newest if start >= 8 and text in (a.key[:start], a.digest[:start])]
        digest = hash_file(path) if path.is_file() else ""
        holding = [a for a in newest if any(file.sha256 == digest for file in a.files)]
        for found in (named, prefixed, lying if path.exists() else [], holding):
            if found:
                return found[0]
        raise LookupError(
            f"Nothing in the store is called {text!r}: "
            "give a location such as clean/universe or clean/universe-1a2b3c4d, a key, a digest, a run id or a file."
        )

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
        users: dict[str, list[str]] = {}
        for other in self.by_key.values():
            for given in other.inputs.values():
                users.setdefault(given.key, []).append(other.key)
        keys, waiting = {artifact.key}, [artifact.key]
        while waiting:
            for key in users.get(waiting.pop(), []):
                if key not in keys:
                    keys.add(key)
                    waiting.append(key)
        return [artifact, *sorted((self.by_key[k] for k in keys - {artifact.key}), key=lambda a: a.origin.created)]


def tree(graph: Graph, artifact: Artifact) -> list[str]:
    """The lineage as indented lines, from what was made to what it was made from; what was shown above is not unfolded again."""
    return list(_branch(graph, artifact, "", 0, set()))


def _branch(graph: Graph, artifact: Artifact, role: str, depth: int, shown: set[str]) -> Iterator[str]:
    line = f"{'  ' * depth}{role}{artifact.location}  digest {artifact.digest[:8]}"
    if artifact.key in shown:
        yield f"{line}  (above)"
        return
    shown.add(artifact.key)
    yield line
    for name, given in artifact.inputs.items():
        parent = graph.by_key.get(given.key)
        if parent is None:
            yield f"{'  ' * (depth + 1)}{name}: {given.location} (its record is gone)"
        else:
            yield from _branch(graph, parent, f"{name}: ", depth + 1, shown)
