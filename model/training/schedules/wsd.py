"""A learning rate that is constant, then decays at the end."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field

from model.training.schedules.base import DecayingSchedule


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
