"""A learning rate that stays."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from model.training.schedules.base import ScheduleBase


class ConstantConfig(ScheduleBase):
    """The peak, to the last update."""

    kind: Literal["constant"] = Field("constant", description="learning rate after the warm-up")

    def factor(self, update: int, total: int, warmup: int) -> float:
        """Return the share of the peak at update number `update`."""
        return 1.0
