"""The interface of a stage's body to the machinery: its folders, resources and progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter
from pathlib import Path
from typing import Any, TypedDict

from pydantic import BaseModel

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
    """The shard that a body works on, counted from 0."""

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
        """DuckDB's limits, as keyword arguments."""
        return Limits(threads=self.threads, memory=self.memory, scratch=self.scratch)

    def offers(self, config: BaseModel, parameters: Mapping[str, Parameter]) -> dict[str, Any]:
        """Return what a library function is given by the names of its parameters, besides a stage's inputs.

        `progress` shows `done` of `total` and a note; `limits` are DuckDB's, as one argument or as `**limits`.
        """
        folders = {"output": self.output, "scratch": self.scratch, "resume": self.resume, "root": self.root, "cache": self.cache}
        share = {"threads": self.threads, "memory": self.memory, "limits": self.limits}
        rest = {"config": config, "observed": self.observed, "shard": self.shard, "progress": self.meter.show}
        found: dict[str, Any] = {name: value for name, value in {**folders, **share, **rest}.items() if name in parameters}
        if "limits" in found and parameters["limits"].kind is Parameter.VAR_KEYWORD:
            found.update(found.pop("limits"))
        return found

    @property
    def resources(self) -> Resources:
        """The pipeline's own resources; loaded when a body asks, since their class may import much that others don't need."""
        return self.load_resources()
