"""The norm of a whole gradient, and clipping to it, without the host waiting for the device.

DeepSpeed reads the norm to decide whether to skip an update, so the host waits until the backward pass is done. Here norm and factor
stay on the device, and an update is always made: a norm that is not finite spoils the weights, which the trainer finds one step
later, before they are saved. `scales_on_device` says where that is possible.
"""

from __future__ import annotations

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
