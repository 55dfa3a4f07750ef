"""A learning rate that falls along a line."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from model.training.schedules.base import DecayingSchedule, decay_progress


class LinearConfig(DecayingSchedule):
    """A line from the peak to the final rate."""

    kind: Literal["linear"] = Field("linear", description="learning rate after the warm-up")

    def factor(self, update: int, total: int, warmup: int) -> float:
        """Return the share of the peak at update number `update`."""
        floor, progress = self.min_learning_rate_ratio, decay_progress(update, total, warmup)
        return floor + (1 - floor) * (1 - progress)
