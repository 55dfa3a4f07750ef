"""What a body is given, as the library takes it. No stage, since several call it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tasks.stage.stage import Workspace

if TYPE_CHECKING:
    from data.dedup.partitioned.shard import ShardInput


def shard_number(work: Workspace) -> int:
    """Return the number of the shard that a body works on. Raises ValueError if it works on all."""
    if work.shard is None:
        raise ValueError("documents are numbered by shard; call the stage .over(shards)")
    return work.shard.number


def shard_input(work: Workspace, documents: Path, *steps: Path | None) -> ShardInput:
    """Return a shard's documents with what earlier steps changed in them; None stands for a step that the recipe leaves out."""
    from data.dedup.partitioned.shard import ShardInput

    return ShardInput(documents, [step for step in steps if step is not None], shard_number(work))
