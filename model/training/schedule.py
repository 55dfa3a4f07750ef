"""The learning rate: a linear warm-up to the peak, then the shape that the training's configuration describes.

The first step already learns (at peak / warmup_steps, not 0), and cosine, linear and wsd end at exactly the configured share of the peak;
a run that the default warm-up outlasts ends at the peak. The rate depends only on the update's number and the length of the run, so nothing
of it needs to be saved.
"""

from __future__ import annotations

from model.training.train_config import TrainConfig


def rate_factor(update: int, total: int, config: TrainConfig) -> float:
    """Return the share of the peak learning rate at update number `update`, from 0, of `total`."""
    warmup = min(config.warmup_steps, total)
    return (update + 1) / warmup if update < warmup else config.schedule.factor(update, total, warmup)
