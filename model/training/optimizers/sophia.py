"""Sophia-G (Liu et al., 2024, "Sophia: A Scalable Stochastic Second-order Optimizer", algorithm 3).

A Newton step with a diagonal estimate of the curvature, each element clipped to the learning rate. The Gauss-Newton-Bartlett estimate: with
labels drawn from the model itself, B times the squared gradient of their mean loss over B tokens. Every so many updates `step` is called
with such gradients inside `estimating`, so ZeRO partitions and reduces them like any gradient.
Cost: two more forward passes and one backward pass per estimate. Memory: as AdamW.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch


class Sophia(torch.optim.Optimizer):
    """m = beta1 m + (1 - beta1) g; weight -= lr decay weight; weight -= lr clip(m / max(gamma h, epsilon), 1).

    State: `exp_avg` (m) and `hessian` (h), both starting at 0.
    """

    def __init__(
        self,
        params: Any,
        lr: float,
        betas: tuple[float, float] = (0.96, 0.99),
        gamma: float = 0.05,
        epsilon: float = 1e-12,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "gamma": gamma, "epsilon": epsilon, "weight_decay": weight_decay})
        self.estimated_from = 0.0

    @contextmanager
    def estimating(self, tokens: float) -> Iterator[None]:
        """Inside, `step` only updates the curvature, from gradients of the mean loss on `tokens` drawn labels.

        h = beta2 h + (1 - beta2) tokens g^2.
        """
        self.estimated_from = tokens
        try:
            yield
        finally:
            self.estimated_from = 0.0

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        if closure is not None:
            raise ValueError("closure is not supported: Sophia uses the gradients that are set")
        for group in self.param_groups:
            rate, (beta1, beta2) = group["lr"], group["betas"]
            for parameter in group["params"]:
                if (gradient := parameter.grad) is None:
                    continue
                state = self.state[parameter]
                if "hessian" not in state:
                    state["exp_avg"], state["hessian"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
                average, hessian = state["exp_avg"], state["hessian"]
                if self.estimated_from:
                    hessian.mul_(beta2).addcmul_(gradient, gradient, value=(1 - beta2) * self.estimated_from)
                    continue
                average.lerp_(gradient, 1 - beta1)
                step = average / (group["gamma"] * hessian).clamp_(min=group["epsilon"])
                parameter.mul_(1 - rate * group["weight_decay"]).add_(step.clamp_(-1, 1), alpha=-rate)
