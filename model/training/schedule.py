"""The learning rate schedule: a linear warm-up to the peak, then one of five shapes.

The first step already learns (at peak / warmup_steps, not 0), and cosine, linear and wsd end at exactly the configured share of the peak.
The rate depends only on the update's number and the length of the run, so nothing of it needs to be saved.
"""

from __future__ import annotations

import math

from model.training.config import TrainConfig


def rate_factor(update: int, total: int, config: TrainConfig) -> float:
    """Return the share of the peak learning rate at update number `update`, from 0, of `total`.

    After the warm-up: `constant` stays at 1. `cosine` (Loshchilov and Hutter, 2017) and `linear` decay to `min_learning_rate_ratio` at the
    last update. `wsd` (warm-up, stable, decay: Hu et al., 2024) stays at 1, then decays over the last `decay_share` of all updates,
    linearly or as 1 - sqrt(progress) (Hägele et al., 2024). `inverse_sqrt` (Vaswani et al., 2017) is sqrt(warmup_steps / update), whatever
    the length of the run.
    """
    warmup, floor = config.warmup_steps, config.min_learning_rate_ratio
    if update < warmup:
        return (update + 1) / warmup
    if config.schedule == "constant":
        return 1.0
    if config.schedule == "inverse_sqrt":
        return math.sqrt(max(1, warmup) / (update + 1))
    if config.schedule == "wsd":
        decay = min(max(1, round(config.decay_share * total)), max(1, total - warmup))
        progress = min(1.0, max(0, update + 1 - (total - decay)) / decay)
        return floor + (1 - floor) * (1 - (math.sqrt(progress) if config.decay_shape == "sqrt" else progress))
    progress = min(1.0, (update - warmup) / max(1, total - warmup - 1))
    if config.schedule == "linear":
        return floor + (1 - floor) * (1 - progress)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))
