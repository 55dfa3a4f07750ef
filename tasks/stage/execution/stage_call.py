"""A call of a stage with the decision about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from tasks.stage.execution.plan import Decision
from tasks.stage.store.artifact import Artifact, ArtifactPart, PendingArtifact, ShardedArtifact, StageInput, expand_shards
from tasks.stage.workspace import Body, ShardIndex


@dataclass(frozen=True)
class StageCall:
    """A call of a stage with the decision about it. It can be pickled if its body can."""

    body: Body
    is_model: bool
    judges: bool
    label: str
    config: BaseModel
    inputs: Mapping[str, StageInput | ShardedArtifact]
    ingredients: Mapping[str, str]
    decision: Decision
    shard: ShardIndex | None

    def given(self) -> dict[str, Artifact | ArtifactPart]:
        """Return the inputs by name, each shard separately."""
        return {name: item for name, item in expand_shards(self.inputs).items() if not isinstance(item, PendingArtifact)}

    def digests(self) -> dict[str, str]:
        """Return the inputs' digests by name, each shard separately."""
        return self.of_kind("input")

    def observed(self) -> dict[str, str]:
        """Return the state of files outside the store when the key was computed."""
        return self.of_kind("observed")

    def of_kind(self, kind: str) -> dict[str, str]:
        """Return the ingredients of one kind, such as `input`, by the rest of their names."""
        return {name.removeprefix(f"{kind}."): value for name, value in self.ingredients.items() if name.startswith(f"{kind}.")}
