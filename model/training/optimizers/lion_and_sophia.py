"""Two optimizers that torch lacks: Lion (Chen et al., 2023) and Sophia-G (Liu et al., 2024).

Sophia-G (Liu et al., 2024, "Sophia: A Scalable Stochastic Second-order Optimizer", algorithm 3).
A Newton step with a diagonal estimate of the curvature, each element clipped to the learning rate. The Gauss-Newton-Bartlett estimate: with
labels drawn from the model itself, B times the squared gradient of their mean loss over B tokens. Every so many updates `step` is called
with such gradients inside `estimating`, so ZeRO partitions and reduces them like any gradient.
Cost: two more forward passes and one backward pass per estimate. Memory: as AdamW.

Lion, EvoLved Sign Momentum (Chen et al., 2023, "Symbolic Discovery of Optimization Algorithms", algorithm 2).

Every weight moves by exactly the learning rate, which should therefore be 3 to 10 times smaller than AdamW's, and the weight decay as much
larger. It holds one tensor per parameter, half of AdamW's memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch


class Lion(torch.optim.Optimizer):
    """update = sign(beta1 m + (1 - beta1) g); weight -= lr (update + decay weight); m = beta2 m + (1 - beta2) g. State: `exp_avg`."""

    def __init__(self, params: Any, lr: float, betas: tuple[float, float] = (0.9, 0.99), weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        if closure is not None:
            raise ValueError("closure is not supported: Lion uses the gradients that are set")
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for parameter in group["params"]:
                if (gradient := parameter.grad) is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["exp_avg"] = torch.zeros_like(parameter)
                average = state["exp_avg"]
                direction = torch.lerp(average, gradient, 1 - beta1).sign_()
                parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(direction, alpha=-group["lr"])
                average.lerp_(gradient, 1 - beta2)


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
