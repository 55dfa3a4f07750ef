"""The workspace of a stage's body."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from tasks.stage.execution.resources import Resources
from tasks.stage.system.progress import ProgressMeter

Metrics = Mapping[str, float]
Body = Callable[..., Metrics]


class Limits(TypedDict):
    """Threads, memory such as "4GB", and a folder to spill to."""

    threads: int
    memory: str
    scratch: Path


@dataclass(frozen=True)
class ShardIndex:
    """Which shard a body works on, counted from 0."""

    number: int
    count: int


@dataclass(frozen=True)
class Workspace:
    """Folders, resources and reporting for the body of a stage.

    `output` becomes the artifact; `scratch` is deleted afterwards; `resume` survives a kill, for the same key; `digests` are those of the
    inputs. `uses(n)` reports that n accelerators are in use from now on, for the cost. `threads` and `memory` are the body's share of the
    machine.
    """

    output: Path
    scratch: Path
    resume: Path
    root: Path
    cache: Path
    threads: int
    memory: str
    load_resources: Callable[[], Resources]
    meter: ProgressMeter
    digests: Mapping[str, str]
    observed: Mapping[str, str]
    shard: ShardIndex | None
    series: Callable[[list[tuple[str, float, int]]], None]
    uses: Callable[[int], None]

    @property
    def limits(self) -> Limits:
        """What DuckDB may use, as keyword arguments."""
        return Limits(threads=self.threads, memory=self.memory, scratch=self.scratch)

    @property
    def resources(self) -> Resources:
        """What a pipeline's own stages may use besides; loaded when a body asks, since its class may import much that others don't need."""
        return self.load_resources()
