"""Muon (Jordan et al., 2024) for matrices and torch's AdamW for the rest, as one optimizer.

Muon replaces a matrix's momentum by the nearest orthogonal matrix, which torch's Muon finds by five Newton-Schulz steps in bf16. Its
updates are scaled to the size of AdamW's (Liu et al., 2025, "Muon is Scalable for LLM Training"), so one learning rate and one weight
decay serve both. Several workers share the matrices among them. Memory: one tensor a matrix, half of AdamW's, and on an accelerator about
four times `stacked_bytes` in an update, or four of the largest matrix if that is more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from model.training.optimizers.matrices import FindMatrices, map_matrices, whole_matrices

MOMENTUM = "momentum_buffer"
# As torch's Muon: five iterations of a polynomial of degree five (Jordan et al., 2024).
A, B, C, ITERATIONS, EPSILON = 3.4445, -4.7750, 2.0315, 5, 1e-7
STACKED = 16  # matrices that an accelerator multiplies at once, if they are small


class Muon(torch.optim.Optimizer):
    """`matrices`: groups that Muon updates; `others`: groups of AdamW's, whose settings are `adamw`. A group may bring its own.

    `stacked_bytes`: of the matrices that an accelerator multiplies at once, in fp32.
    """

    def __init__(
        self,
        matrices: Sequence[Mapping[str, Any]],
        others: Sequence[Mapping[str, Any]],
        *,
        lr: float,
        momentum: float,
        nesterov: bool,
        adamw: Mapping[str, Any],
        stacked_bytes: int,
    ) -> None:
        groups = [{**group, "muon": True} for group in matrices] + [{**group, "muon": False} for group in others]
        super().__init__(groups, {"lr": lr, "weight_decay": 0.0, "momentum": momentum, "nesterov": nesterov})
        self._adamw = torch.optim.AdamW([torch.zeros(0)], lr=lr, fused=True, **adamw)
        for group in self.param_groups:
            if not group["muon"]:
                group.update({name: value for name, value in self._adamw.defaults.items() if name not in group})
        self._find: FindMatrices = whole_matrices
        self._stacked_bytes = stacked_bytes

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
        stacked = bool(parameters) and parameters[0].is_cuda
        compute, at_once = (stacked_steps, STACKED) if stacked else (single_steps, 1)
        # Directions and steps of all matrices at once would be two more copies of them, so each is used as it comes.
        for parameter, step in map_matrices(
            parameters,
            lambda parameter: self._direction(parameter, group),
            self._find,
            compute,
            at_once=at_once,
            numbers_at_once=self._stacked_bytes // 4,
        ):
            parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(step, alpha=group["lr"])

    def _direction(self, parameter: Tensor, group: dict[str, Any]) -> Tensor:
        """Move the momentum by the gradient and return where the tensor is to go."""
        assert parameter.grad is not None
        state = self.state[parameter]
        if MOMENTUM not in state:
            state[MOMENTUM] = torch.zeros_like(parameter.grad)
        momentum: Tensor = state[MOMENTUM].lerp_(parameter.grad, 1 - group["momentum"])
        return parameter.grad.lerp(momentum, group["momentum"]) if group["nesterov"] else momentum


def single_steps(directions: Sequence[Tensor]) -> list[Tensor]:
    """Return what torch's Muon adds to each matrix at learning rate 1, without momentum of its own."""
    return [_orthogonal_step(direction) for direction in directions]


def stacked_steps(directions: Sequence[Tensor]) -> list[Tensor]:
    """Return what `single_steps` does, up to rounding, from products of all matrices of a shape at once.

    One small product after the other leaves an accelerator idle; on a CPU nothing is gained.
    """
    by_shape: dict[torch.Size, list[int]] = {}
    for number, direction in enumerate(directions):
        by_shape.setdefault(direction.shape, []).append(number)
    steps = dict[int, Tensor]()
    for (rows, columns), numbers in by_shape.items():
        x_NRC = torch.stack([directions[number].bfloat16() for number in numbers])
        x_NRC = x_NRC.mT if rows > columns else x_NRC
        x_NRC = x_NRC / torch.linalg.vector_norm(x_NRC, dim=(1, 2), keepdim=True).clamp(min=EPSILON)
        for _ in range(ITERATIONS):
            gram_NRR = x_NRC @ x_NRC.mT
            x_NRC = torch.baddbmm(x_NRC, torch.baddbmm(gram_NRR, gram_NRR, gram_NRR, beta=B, alpha=C), x_NRC, beta=A)
        whole_NRC = (x_NRC.mT if rows > columns else x_NRC).float().mul_(-0.2 * max(rows, columns) ** 0.5)
        steps.update(zip(numbers, whole_NRC.unbind(), strict=True))
    return [steps.pop(number).contiguous() for number in range(len(directions))]


def _orthogonal_step(direction: Tensor) -> Tensor:
    """Return what torch's Muon adds to a matrix at learning rate 1, without momentum of its own."""
    with torch.enable_grad():
        step = torch.nn.Parameter(torch.zeros_like(direction, dtype=torch.float32))
    step.grad = direction.to(step.dtype)
    muon = torch.optim.Muon([step], lr=1.0, weight_decay=0.0, momentum=0.0, nesterov=False, adjust_lr_fn="match_rms_adamw")
    muon.step()  # type: ignore[no-untyped-call]
    return step.detach()
