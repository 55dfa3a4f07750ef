"""Learning rate by step: linear warm-up to the peak, then half a cosine down to a share of it.

The first step already learns (rate peak / warmup_steps, not 0) and the last one runs at exactly the share asked for.
"""

from __future__ import annotations

import math

from model.training.config import TrainConfig


def rate_factor(update: int, total: int, config: TrainConfig) -> float:
    """Share of the peak learning rate at update number `update`, from 0, of `total`."""
    if update < config.warmup_steps:
        return (update + 1) / config.warmup_steps
    after = max(1, total - config.warmup_steps - 1)
    progress = min(1.0, (update - config.warmup_steps) / after)
    floor = config.min_learning_rate_ratio
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))
