"""Weights of the sources of pretraining, and how they change over it (a curriculum). Cheap to import."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, Field, model_validator

PARTS = 65_536  # a share is a whole number of these parts


class MixturePhase(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """A phase of training with its weights."""

    until: float = Field(gt=0, le=1, description="where the phase ends; fraction of training, 1 in the last phase")
    weights: dict[str, float] = Field(
        min_length=1, description="sequences of each source in proportion to the others; 0 for a source not named; numbers from 0"
    )

    @model_validator(mode="after")
    def _weighs_something(self) -> MixturePhase:
        if wrong := {name: weight for name, weight in self.weights.items() if not (math.isfinite(weight) and weight >= 0)}:
            raise ValueError(f"weights={wrong}: a weight is a finite number, 0 or more")
        total = sum(self.weights.values())
        if not total:
            raise ValueError(f"weights={self.weights}: no source has a weight above 0, so there is nothing to train on")
        if little := {name: weight for name, weight in self.weights.items() if 0 < weight * PARTS < total}:
            raise ValueError(
                f"weights={little} of {total:g} in all: a share below 1/{PARTS} is too small to represent; use 0, or a larger weight"
            )
        return self

    def parts(self) -> dict[str, int]:
        """Each source's share in whole parts, which add up to 65,536 (largest remainder method, ties by name)."""
        total = math.fsum(self.weights.values())
        exact = {name: self.weights[name] * PARTS / total for name in sorted(self.weights) if self.weights[name]}
        floors = {name: max(1, int(share)) for name, share in exact.items()}
        order = sorted(floors, key=lambda name: (floors[name] - exact[name], name))
        missing = PARTS - sum(floors.values())
        for number in range(abs(missing)):
            # A sum above PARTS comes from shares raised to 1; the largest share makes up for it.
            name = order[number % len(order)] if missing > 0 else max(floors, key=lambda one: (floors[one], one))
            floors[name] += 1 if missing > 0 else -1
        return floors


def check_phases(phases: tuple[MixturePhase, ...]) -> None:
    """ValueError unless each phase ends after the one before it, and the last at 1."""
    ends = [phase.until for phase in phases]
    if ends and (ends != sorted(set(ends)) or ends[-1] != 1):
        raise ValueError(f"mixture: phases end at {ends}; each must end after the one before it, and the last at 1")


def mixture_problem(phases: Sequence[MixturePhase], rows: Mapping[str, int]) -> str:
    """Why these phases don't fit shards with these rows per source, and what to do; empty if they fit."""
    if not rows:
        return "mixture: these shards mix several sources within a row; pack with pack.by_source=true, or leave pretrain.mixture empty"
    named = {name for phase in phases for name in phase.weights}
    weighed = {name for phase in phases for name, weight in phase.weights.items() if weight}
    if strange := sorted(weighed - set(rows)):
        return f"mixture gives a weight to {strange[0]!r}, but the sources are {', '.join(rows)}; leave it out, or give it 0"
    if left := sorted(set(rows) - named):
        return f"mixture gives no weight to the source {left[0]!r} in any phase; give it one, 0 to leave it out of training"
    if empty := sorted(name for name in weighed if not rows[name]):
        return f"mixture gives a weight to {empty[0]!r}, which has no rows; give it 0"
    return ""
