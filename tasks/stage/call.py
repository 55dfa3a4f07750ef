"""One decided call of a stage, and what its body is given to work with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypedDict

from pydantic import BaseModel

from tasks.stage.execution.plan import Decision
from tasks.stage.execution.resources import Resources
from tasks.stage.store.artifact import Artifact, Given, Part, Pending, Shards, singles
from tasks.stage.tracking.progress import Meter

Metrics = Mapping[str, float]
Body = Callable[..., Metrics]


class Limits(TypedDict):
    """Threads, memory such as "4GB", and where to spill."""

    threads: int
    memory: str
    scratch: Path


@dataclass(frozen=True)
class Shard:
    """Which shard a body works on, counted from 0."""

    number: int
    count: int


@dataclass(frozen=True)
class Workspace:
    """Where and with what a stage's body works. `output` becomes the artifact; `scratch` is thrown away; `digests` are the inputs'.

    `uses(n)` says that n accelerators are in use from now on, for the account of cost.
    """

    output: Path
    scratch: Path
    resume: Path
    root: Path
    cache: Path
    resources: Resources
    meter: Meter
    digests: Mapping[str, str]
    observed: Mapping[str, str]
    shard: Shard | None
    series: Callable[[list[tuple[str, float, int]]], None]
    uses: Callable[[int], None]

    @property
    def limits(self) -> Limits:
        """What DuckDB may use, as keyword arguments."""
        return Limits(threads=self.resources.cores, memory=self.resources.memory, scratch=self.scratch)


class Edited(Protocol):
    """Names what of a stage's code is no longer as the given fingerprint saw it, in this process or on its disk."""

    def __call__(self, *, seen: Mapping[str, str]) -> tuple[str, ...]:
        """The definitions, by `path:definition`."""


@dataclass(frozen=True)
class Call:
    """One decided call of a stage. It can be pickled as long as its body can."""

    body: Body
    is_model: bool
    label: str
    config: BaseModel
    inputs: Mapping[str, Given | Shards]
    ingredients: Mapping[str, str]
    decision: Decision
    edited: Edited
    shard: Shard | None

    def given(self) -> dict[str, Artifact | Part]:
        """The inputs by name, each shard by itself."""
        return {name: item for name, item in singles(self.inputs).items() if not isinstance(item, Pending)}

    def digests(self) -> dict[str, str]:
        """The inputs' digests by name, each shard by itself."""
        return self.of_kind("input")

    def observed(self) -> dict[str, str]:
        """What was seen of files outside the store when the key was computed."""
        return self.of_kind("observed")

    def of_kind(self, kind: str) -> dict[str, str]:
        """The ingredients of one kind, such as `code`, by the rest of their names."""
        return {name.removeprefix(f"{kind}."): value for name, value in self.ingredients.items() if name.startswith(f"{kind}.")}
