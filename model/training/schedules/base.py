"""The interface of a learning-rate schedule; no other file asks which kind it is."""

from __future__ import annotations

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
