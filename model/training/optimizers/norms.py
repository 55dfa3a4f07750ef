"""Norms of gradients and updates, clipping among them, without the host waiting for the device.

The relative size of an update: the norm of the weights' change over the norm of the weights.
It is measured only for `watched` updates, because it copies the weights before them: at one update in fifty it costs below 0.1 % of a run.
It works on whole tensors and on ZeRO's flat partitions; the squares are summed over all workers.

The norm of a whole gradient, and clipping to it, without the host waiting for the device.

DeepSpeed reads the norm to decide whether to skip an update, so the host waits until the backward pass is done. Here norm and factor
stay on the device, and an update is always made: a norm that is not finite spoils the weights, which the trainer finds one step
later, before they are saved. `scales_on_device` says where that is possible.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from deepspeed.runtime.zero.utils import get_norm_dtype
from torch import Tensor, distributed

from model.training.job import Job


def scales_on_device(job: Job) -> bool:
    """Return whether the host need not know a gradient's norm before the update.

    It must for fp16, whose updates are skipped on overflow, and for offloaded optimizers, which run on the host. For cut matrices
    DeepSpeed knows which parts of the norm to add.
    """
    parallel = job.resources.parallel
    return job.train.precision.loss_scaling is None and parallel.offload_optimizer == "none" and parallel.tensor == 1


def skip_own_norm(zero: Any) -> None:
    """Keep ZeRO 3 from computing and reading a norm of its own; stages 1 and 2 have a setting for it."""
    zero._get_norm_groups = lambda: [0.0]


@torch.no_grad()
def clip_partitions(zero: Any, limit: float) -> Tensor:
    """Scale the gradients that a ZeRO optimizer holds to norm `limit`, 0 leaves them; return their norm before, 0-dimensional.

    To be called after the last backward pass of an update, and before the optimizer's step; a collective. As DeepSpeed does it:
    gradient / max(1, (norm + 1e-6) / limit).
    """
    held = zero.averaged_gradients.values()
    groups = [[gradient for gradient in group if not getattr(gradient, "_zero_padding", False)] for group in held]
    norms = [_group_norm(zero, group) for group in groups]
    norm: Tensor = torch.linalg.vector_norm(torch.stack(norms))
    if limit:
        factor = 1.0 / ((norm + 1e-6) / limit).clamp(min=1.0)
        for group in groups:
            torch._foreach_mul_(group, factor)
    return norm


def _group_norm(zero: Any, gradients: list[Tensor]) -> Tensor:
    norms = torch._foreach_norm([gradient.detach().to(get_norm_dtype()) for gradient in gradients])
    squares = torch.stack(norms).square().sum().float() if norms else torch.zeros((), device=zero.device)
    if distributed.get_world_size(zero.dp_process_group) > 1:
        distributed.all_reduce(squares, group=zero.dp_process_group)
    return squares.sqrt()


class UpdateRatio:
    """`ratio` belongs to the last update, fp64 on the device; None if that was not watched. It is not finite if there are no weights.

    `squares`: of the change and of the weights before it, on this worker's device; inside `watched` still without those of other workers.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, device: torch.device) -> None:
        """`device`: this worker's. NCCL takes no CPU tensors, and offloaded weights are CPU tensors."""
        self.ratio: Tensor | None = None
        self._before: dict[Tensor, Tensor] = {}
        self._device = device
        self.squares = torch.zeros(2, dtype=torch.float64, device=device)
        self._watching = False
        optimizer.register_step_pre_hook(self._copy_weights)
        optimizer.register_step_post_hook(self._compare)

    @contextmanager
    def watched(self, watching: bool) -> Iterator[None]:
        """Measure the update made inside, if `watching`."""
        self.ratio, self._watching = None, watching
        self.squares = torch.zeros(2, dtype=torch.float64, device=self._device)
        yield
        self._watching = False
        if not watching:
            return
        if distributed.get_world_size() > 1:
            distributed.all_reduce(self.squares)
        change, weights = self.squares.unbind()
        self.ratio = (change / weights).sqrt()

    def _copy_weights(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if self._watching:
            self._before = {parameter: parameter.detach().clone() for group in optimizer.param_groups for parameter in group["params"]}

    @torch.no_grad()
    def _compare(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        for parameter, before in self._before.items():
            weights = torch.linalg.vector_norm(before, dtype=torch.float64)
            # Into the copy: under ZeRO a tensor is a worker's whole part of a group.
            change = torch.linalg.vector_norm(torch.sub(parameter, before, out=before), dtype=torch.float64)
            self.squares += torch.stack((change.square(), weights.square())).to(self._device)
        self._before = {}
