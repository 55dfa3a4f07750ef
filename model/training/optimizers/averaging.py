"""A moving average of the weights, kept in the optimizer's state, so ZeRO partitions it and checkpoints contain it.

average = d average + (1 - d) weight after every update, with d = min(decay, (1 + t) / (10 + t)) at update t from 0, so the initial
random weights are soon forgotten (as in TensorFlow's ExponentialMovingAverage). Cost: one tensor per parameter, and one pass over it per
update.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

KEY = "ema"


def average_weights(optimizer: torch.optim.Optimizer, decay: float, update: Callable[[], int | None]) -> None:
    """Maintain the average in `optimizer.state[parameter]["ema"]`. `update` returns t, or None if a step changes no weight."""

    @torch.no_grad()
    def accumulate(stepped: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if (done := update()) is None:
            return
        weight = 1 - min(decay, (1 + done) / (10 + done))
        for parameter in (parameter for group in stepped.param_groups for parameter in group["params"]):
            if parameter.grad is None:
                continue
            state = stepped.state[parameter]
            if KEY in state:
                state[KEY].lerp_(parameter, weight)
            else:
                state[KEY] = parameter.detach().clone()

    optimizer.register_step_post_hook(accumulate)
