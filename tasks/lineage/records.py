"""What made what, read from the records of a store alone: it works when MLflow and Prefect are gone.

Guarantees: `ancestors` and `descendants` follow inputs by key; an input whose record is gone is known as gone, not left out.
Costs one reading of every record: about 1.5 s for 10,000 of them on a disk.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from tasks.stage.store.acceptance import acceptances
from tasks.stage.store.artifact import Artifact, Input
from tasks.stage.store.store import Store

LEAST_PREFIX = 8


@dataclass(frozen=True)
class Graph:
    """Every record of a store by key, and what was accepted in its place: key of the artifact -> (key not made, reason)."""

    by_key: Mapping[str, Artifact]
    accepted: Mapping[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, store: Store) -> Graph:
        """Read all records and acceptances."""
        vouched: dict[str, tuple[tuple[str, str], ...]] = {}
        for told in acceptances(store):
            vouched[told.instead] = (*vouched.get(told.instead, ()), (told.key, told.reason))
        return cls({artifact.key: artifact for artifact in store.records()}, vouched)

    @cached_property
    def newest(self) -> list[Artifact]:
        """Every record, the last made first."""
        return sorted(self.by_key.values(), key=lambda a: a.origin.created, reverse=True)

    @cached_property
    def users(self) -> Mapping[str, list[tuple[str, Artifact]]]:
        """What was made from the artifact of a key, as (input's name, artifact), the first made first."""
        found: dict[str, list[tuple[str, Artifact]]] = {}
        for artifact in reversed(self.newest):
            for name, given in artifact.inputs.items():
                found.setdefault(given.key, []).append((name, artifact))
        return found

    def named(self, text: str) -> tuple[Artifact, ...]:
        """What a location, a key or digest (or 8 or more digits of one), or an MLflow run or model id means; () when nothing.

        A location without its key, such as clean/universe, means the newest: of every shard, when the stage is sharded.
        """
        if not text:
            return ()
        for artifact in self.newest:
            origin = artifact.origin
            place = artifact.location.rpartition("-")[0]
            if text in (artifact.location, place, origin.mlflow_run_id, origin.mlflow_model_id):
                return (artifact,)
            if shard_of(artifact) and text == place.rpartition("-")[0]:
                return self._siblings(artifact)
        size = len(text)
        prefixed = (a for a in self.newest if size >= LEAST_PREFIX and text in (a.key[:size], a.digest[:size]))
        return tuple(prefixed)[:1]

    def _siblings(self, artifact: Artifact) -> tuple[Artifact, ...]:
        """The newest of every shard of a sharded stage, in shard order."""
        found: dict[str, Artifact] = {}
        for other in self.newest:
            if family(other) == family(artifact):
                found.setdefault(other.label, other)
        return tuple(sorted(found.values(), key=lambda a: int(a.label.rpartition("-")[2])))

    def holding(self, sha256: str) -> list[Artifact]:
        """The artifacts that have a file of this content, the last made first."""
        return [a for a in self.newest if any(file.sha256 == sha256 for file in a.files)]

    def lying_in(self, path: Path) -> Artifact | None:
        """The artifact in whose folder a file or folder lies."""
        whole = f"{path.as_posix()}/"
        return next((a for a in self.newest if f"/{a.location}/" in whole), None)

    def ancestors(self, *artifacts: Artifact) -> list[Artifact]:
        """Everything that some artifacts were made from, themselves first, each once."""
        seen: dict[str, Artifact] = {}
        waiting = list(artifacts)
        while waiting:
            current = waiting.pop(0)
            if current.key not in seen:
                seen[current.key] = current
                waiting += [self.by_key[i.key] for i in current.inputs.values() if i.key in self.by_key]
        return list(seen.values())

    def descendants(self, *artifacts: Artifact) -> list[Artifact]:
        """Everything made from some artifacts, themselves first, each once, the others in order of creation."""
        found = {artifact.key: artifact for artifact in artifacts}
        waiting = list(found)
        while waiting:
            for _, user in self.users.get(waiting.pop(), ()):
                if user.key not in found:
                    found[user.key] = user
                    waiting.append(user.key)
        first = {artifact.key for artifact in artifacts}
        return [*artifacts, *sorted((a for a in found.values() if a.key not in first), key=lambda a: a.origin.created)]

    def gone(self, artifacts: Iterable[Artifact]) -> list[Input]:
        """Inputs of some artifacts whose records are no longer in the store, each once."""
        given = (value for artifact in artifacts for value in artifact.inputs.values())
        return list({value.key: value for value in given if value.key not in self.by_key}.values())


def base_of(name: str) -> str:
    """A place or an input's name without the number of its shard: `documents[3]` -> `documents`."""
    return re.sub(r"\[\d+\]$", "", name)


def shard_of(artifact: Artifact) -> str:
    """Which shard of how many an artifact is, such as "3 of 8"; "" when its stage isn't sharded."""
    return artifact.ingredients.get("shard", "")


def family(artifact: Artifact) -> tuple[str, ...]:
    """What the shards of one stage have in common: stage, recipe and how many there are; of another artifact, its key."""
    shard = shard_of(artifact)
    return (artifact.stage, artifact.label.rpartition("-")[0], shard.rpartition(" ")[2]) if shard else (artifact.key,)
