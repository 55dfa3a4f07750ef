"""Shapes of the learning rate after its warm-up: a config tagged by `kind` each, which computes it. Cheap to import: no torch."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import BaseModel, Field


class ScheduleBase(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The learning rate after the warm-up. A kind adds `kind` and its own settings."""

    kind: str = Field(description="learning rate after the warm-up")

    def factor(self, update: int, total: int, warmup: int) -> float:
        """Return the share of the peak at update number `update`, from 0 and after `warmup` updates, of `total`."""
        raise NotImplementedError


class DecayingSchedule(ScheduleBase):
    """A learning rate that ends at a share of its peak, at the last update."""

    min_learning_rate_ratio: float = Field(0.1, ge=0, le=1, description="final learning rate as a share of the peak")


def decay_progress(update: int, total: int, warmup: int) -> float:
    """Return how much of the way from the warm-up's end to the last update is done, 0 to 1."""
    return min(1.0, (update - warmup) / max(1, total - warmup - 1))


class ConstantConfig(ScheduleBase):
    """The peak, to the last update."""

    kind: Literal["constant"] = Field("constant", description="learning rate after the warm-up")

    def factor(self, update: int, total: int, warmup: int) -> float:
        """Return the share of the peak at update number `update`."""
        return 1.0


class CosineConfig(DecayingSchedule):
    """Half a cosine from the peak to the final rate (Loshchilov and Hutter, 2017)."""

    kind: Literal["cosine"] = Field("cosine", description="learning rate after the warm-up")

    def factor(self, update: int, total: int, warmup: int) -> float:
        """Return the share of the peak at update number `update`."""
        floor, progress = self.min_learning_rate_ratio, decay_progress(update, total, warmup)
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


class InverseSqrtConfig(ScheduleBase):
    """sqrt(warmup / update), independent of the run's length (Vaswani et al., 2017)."""

    kind: Literal["inverse_sqrt"] = Field("inverse_sqrt", description="learning rate after the warm-up")

    def factor(self, update: int, total: int, warmup: int) -> float:
        """Return the share of the peak at update number `update`."""
        return math.sqrt(max(1, warmup) / (update + 1))


class LinearConfig(DecayingSchedule):
    """A line from the peak to the final rate."""

    kind: Literal["linear"] = Field("linear", description="learning rate after the warm-up")

    def factor(self, update: int, total: int, warmup: int) -> float:
        """Return the share of the peak at update number `update`."""
        floor, progress = self.min_learning_rate_ratio, decay_progress(update, total, warmup)
        return floor + (1 - floor) * (1 - progress)


class WsdConfig(DecayingSchedule):
    """Warm-up, stable, decay (Hu et al., 2024): the decay is linear, or 1 - sqrt(progress) (Hägele et al., 2024)."""

    kind: Literal["wsd"] = Field("wsd", description="learning rate after the warm-up")
    decay_share: float = Field(0.2, gt=0, le=1, description="share of all steps over which it decays")
    decay_shape: Literal["linear", "sqrt"] = Field("linear", description="shape of the decay: linear, or 1 - sqrt(progress)")

    def factor(self, update: int, total: int, warmup: int) -> float:
        """Return the share of the peak at update number `update`."""
        floor, decay = self.min_learning_rate_ratio, min(max(1, round(self.decay_share * total)), max(1, total - warmup))
        progress = min(1.0, max(0, update + 1 - (total - decay)) / decay)
        return floor + (1 - floor) * (1 - (math.sqrt(progress) if self.decay_shape == "sqrt" else progress))


ScheduleConfig = Annotated[CosineConfig | LinearConfig | WsdConfig | InverseSqrtConfig | ConstantConfig, Field(discriminator="kind")]
