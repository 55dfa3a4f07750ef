"""Muon (Jordan et al., 2024) for matrices and torch's AdamW for the rest, as one optimizer.

Muon replaces a matrix's momentum by the nearest orthogonal matrix, which torch's Muon finds by five Newton-Schulz steps in bf16. Its
updates are scaled to the size of AdamW's (Liu et al., 2025, "Muon is Scalable for LLM Training"), so that one learning rate and one weight
decay serve both. Several workers share the matrices among them. Memory: one tensor a matrix, half of AdamW's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from model.training.optimizers.matrices import FindMatrices, map_matrices, whole_matrices

MOMENTUM = "momentum_buffer"


class Muon(torch.optim.Optimizer):
    """`matrices`: groups that Muon updates; `others`: groups of AdamW's, whose settings are `adamw`. A group may bring its own."""

    def __init__(
        self,
        matrices: Sequence[Mapping[str, Any]],
        others: Sequence[Mapping[str, Any]],
        *,
        lr: float,
        momentum: float,
        nesterov: bool,
        adamw: Mapping[str, Any],
    ) -> None:
        groups = [{**group, "muon": True} for group in matrices] + [{**group, "muon": False} for group in others]
        super().__init__(groups, {"lr": lr, "weight_decay": 0.0, "momentum": momentum, "nesterov": nesterov})
        self._adamw = torch.optim.AdamW([torch.zeros(0)], lr=lr, fused=True, **adamw)
        for group in self.param_groups:
            if not group["muon"]:
                group.update({name: value for name, value in self._adamw.defaults.items() if name not in group})
        self._find: FindMatrices = whole_matrices

    def find_matrices(self, find: FindMatrices) -> None:
        """Update the matrices that `find` finds in the tensors of the groups, which need not be matrices themselves."""
        self._find = find

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        if closure is not None:
            raise ValueError("closure is not supported: Muon uses the gradients that are set")
        # ZeRO replaces groups and calls a step for each, and loading a state dict replaces groups and state.
        for group in self.param_groups:
            if group["muon"]:
                self._step_matrices(group)
        self._adamw.param_groups, self._adamw.state = [group for group in self.param_groups if not group["muon"]], self.state
        self._adamw.step()

    def _step_matrices(self, group: dict[str, Any]) -> None:
        parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
        directions = []
        for parameter in parameters:
            state = self.state[parameter]
            if MOMENTUM not in state:
                state[MOMENTUM] = torch.zeros_like(parameter.grad)
            state[MOMENTUM].lerp_(parameter.grad, 1 - group["momentum"])
            directions.append(parameter.grad.lerp(state[MOMENTUM], group["momentum"]) if group["nesterov"] else state[MOMENTUM])
        for parameter, step in zip(parameters, map_matrices(parameters, directions, self._find, _orthogonal_step), strict=True):
            parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(step, alpha=group["lr"])


def _orthogonal_step(direction: Tensor) -> Tensor:
    """Return what torch's Muon adds to a matrix at learning rate 1, without momentum of its own."""
    with torch.enable_grad():
        step = torch.nn.Parameter(torch.zeros_like(direction, dtype=torch.float32))
    step.grad = direction.to(step.dtype)
    muon = torch.optim.Muon([step], lr=1.0, weight_decay=0.0, momentum=0.0, nesterov=False, adjust_lr_fn="match_rms_adamw")
    muon.step()  # type: ignore[no-untyped-call]
    return step.detach()
