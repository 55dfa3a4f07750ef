"""A learning rate that falls along a cosine."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from model.training.schedules.base import DecayingSchedule, decay_progress


class CosineConfig(DecayingSchedule):
    """Half a cosine from the peak to the final rate (Loshchilov and Hutter, 2017)."""

    kind: Literal["cosine"] = Field("cosine", description="learning rate after the warm-up")

    def factor(self, update: int, total: int, warmup: int) -> float:
        """Return the share of the peak at update number `update`."""
        floor, progress = self.min_learning_rate_ratio, decay_progress(update, total, warmup)
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))
