"""What the report is made from: the artifacts of a run, by their place in the flow, and their files.

Guarantees: an artifact that the run does not have reads as None, so that its section is left out; a file that should be there and is
missing or malformed is an error that names it, never a page with a hole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.lineage.graph import without_shard
from tasks.stage.store.artifact import Artifact


@dataclass(frozen=True)
class Evidence:
    """The artifacts of a run and where their files lie."""

    artifacts: Mapping[str, Artifact]
    folder: Callable[[Artifact], Path]

    def metrics(self, place: str) -> Mapping[str, float]:
        """What a stage measured, its shards counted together; nothing when it is not part of the run."""
        if place in self.artifacts:
            return self.artifacts[place].metrics
        total: dict[str, float] = {}
        for name, artifact in self.artifacts.items():
            if without_shard(name) == place:
                total |= {metric: total.get(metric, 0.0) + value for metric, value in artifact.metrics.items()}
        return total

    def places(self, stage: str, first: Iterable[str] = ()) -> list[str]:
        """The places of a stage in the flow's order, those in `first` before the others."""
        found = [place for place, artifact in self.artifacts.items() if artifact.stage == stage]
        return [p for p in first if p in found] + [p for p in found if p not in set(first)]

    def path(self, place: str, file: str) -> Path | None:
        """A file of a stage, or None when the stage is not part of the run. Raises FileNotFoundError naming both."""
        artifact = self.artifacts.get(place)
        if artifact is None:
            return None
        path = self.folder(artifact) / file
        if not path.is_file():
            raise FileNotFoundError(f"report: {artifact.name} has no {file}; run the stage again with --refresh {place}.")
        return path

    def json(self, place: str, file: str) -> Any:
        """A JSON file of a stage, or None when the stage is not part of the run."""
        path = self.path(place, file)
        return None if path is None else json.loads(path.read_text(encoding="utf-8"))

    def lines(self, place: str, file: str) -> list[dict[str, Any]]:
        """The objects of a file of JSON lines; none when the stage is not part of the run."""
        path = self.path(place, file)
        return [] if path is None else [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
