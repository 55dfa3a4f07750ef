"""Where DeepSpeed keeps what torch's optimizer knows of a parameter, and how it is put together again.

In stage 0 the optimizer knows the parameters themselves. Under ZeRO it knows one flat tensor a group, of which each worker has a part.
Cost: one whole tensor in memory, and one exchange between the workers.
"""

from __future__ import annotations

from typing import Any

import torch
from deepspeed import DeepSpeedEngine, utils
from torch import Tensor, nn


def torch_optimizer(engine: DeepSpeedEngine) -> torch.optim.Optimizer:
    """Torch's optimizer, which DeepSpeed's wraps under ZeRO."""
    outer = engine.optimizer
    inner: torch.optim.Optimizer = getattr(outer, "optimizer", outer)
    return inner


def home_of(engine: DeepSpeedEngine, parameter: nn.Parameter) -> Tensor:
    """What the optimizer takes for its parameter: this one, or this worker's part of the flat tensor of its group."""
    zero, stage = engine.optimizer, engine.zero_optimization_stage()
    if not stage:
        return parameter
    if stage == 3:
        group, *_ = zero.grad_position[zero.get_param_id(parameter)]
        flat: Tensor = zero.fp32_partitioned_groups_flat[group]
        return flat
    groups = (number for number, group in enumerate(zero.bit16_groups) if any(member is parameter for member in group))
    flat = zero.single_partition_of_fp32_groups[next(groups)]
    return flat


def whole_state(engine: DeepSpeedEngine, parameter: nn.Parameter, name: str) -> Tensor:
    """All elements of one of the optimizer's states for a parameter, in its shape, on every worker. A meeting of all."""
    stage = engine.zero_optimization_stage()
    if stage == 3:
        whole: Tensor = utils.safe_get_full_optimizer_state(parameter, name)
        return whole
    value: Tensor = torch_optimizer(engine).state[home_of(engine, parameter)][name]
    return _gathered(parameter, value) if stage else value.detach()


def _gathered(parameter: Any, flat: Tensor) -> Tensor:
    """A whole tensor from the workers' parts of a flat one, under stages 1 and 2.

    DeepSpeed's own `safe_get_full_optimizer_state` finds nothing for parameters of any group but the first.
    """
    whole = torch.zeros(parameter.numel(), dtype=flat.dtype, device=parameter.device)
    if (mapping := parameter._hp_mapping) is not None:
        here, there = mapping.hp_fragment_address, mapping.lp_fragment_address
        whole.narrow(0, there.start, there.numel).copy_(flat.narrow(0, here.start, here.numel))
    torch.distributed.all_reduce(whole, group=parameter._dp_group)
    return whole.reshape(parameter.shape)
