"""A learning rate that falls with the square root of the updates."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from model.training.schedules.base import ScheduleBase


class InverseSqrtConfig(ScheduleBase):
    """sqrt(warmup / update), independent of the run's length (Vaswani et al., 2017)."""

    kind: Literal["inverse_sqrt"] = Field("inverse_sqrt", description="learning rate after the warm-up")

    def factor(self, update: int, total: int, warmup: int) -> float:
        """Return the share of the peak at update number `update`."""
        return math.sqrt(max(1, warmup) / (update + 1))
