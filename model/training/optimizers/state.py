"""A parameter's weight and optimizer state, whole and independent of layout: read from any ZeRO stage, written into any other.

In stage 0 torch's optimizer holds the parameters themselves. Under ZeRO it holds one flat tensor per parameter group, of which each worker
owns a partition.

Guarantee: `read_state` returns bit for bit what `write_state` wrote, on any number of workers, in any ZeRO stage and with several
parameter groups.
Cost: ZeRO gathers one tensor at a time, so memory holds one whole tensor more; each read is an exchange between the workers.
Limits: under ZeRO, a state that does not have one element for each of the parameter's, and parameters of one group that were updated
unequally often, raise StateError with the parameter's name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from deepspeed import DeepSpeedEngine, utils
from torch import Tensor, nn

from model.training.optimizers.matrices import SectionOfGroup, section_of

WEIGHT = "weight"
# Python numbers become 0-dimensional tensors of these types; torch's optimizers count in fp32.
PYTHON_NUMBERS = {int: torch.int64, float: torch.float64}


class StateError(RuntimeError):
    """An optimizer's state does not fit the layout of this run."""


def read_state(engine: DeepSpeedEngine, name: str, parameter: nn.Parameter) -> dict[str, Tensor]:
    """Return `weight` (fp32) and the optimizer's state by its own names: tensors of the weight's shape, or 0-dimensional numbers.

    A collective: all workers must call it. Tensors may share memory with the engine's; copy what must survive the next update.
    """
    stage, held = _stage(engine), _held_tensor(engine, parameter)
    state: dict[str, Tensor] = {WEIGHT: utils.safe_get_full_fp32_param(parameter) if stage else parameter.detach()}
    for key, value in sorted(_torch_optimizer(engine).state.get(held, {}).items()):
        if not torch.is_tensor(value):
            state[key] = torch.tensor(value, dtype=PYTHON_NUMBERS[type(value)])
        elif value.dim() == 0 or not stage:
            state[key] = value.detach()
        elif value.shape != held.shape:
            raise _wrong_shape(name, key, value)
        else:
            state[key] = whole_state(engine, parameter, key)
    return state


def whole_state(engine: DeepSpeedEngine, parameter: nn.Parameter, key: str) -> Tensor:
    """Return one of the optimizer's states for a parameter, in the parameter's shape, on every worker. A collective."""
    stage = _stage(engine)
    if stage == 3:
        whole: Tensor = utils.safe_get_full_optimizer_state(parameter, key)
        return whole
    value: Tensor = _torch_optimizer(engine).state[_held_tensor(engine, parameter)][key]
    return SectionOfGroup(parameter).gather(value) if stage else value.detach()


@contextmanager
def restoring(engine: DeepSpeedEngine) -> Iterator[None]:
    """Clear the optimizer's state on entry; `write_state` every parameter inside; on exit the engine computes with what was written."""
    zero = engine.optimizer
    _torch_optimizer(engine).state.clear()
    if _stage(engine) == 3:
        # Weights that every worker holds whole would otherwise outlive their partitions.
        zero.checkpoint_event_prologue()
    yield
    if _stage(engine) == 3:
        for group in range(len(zero.fp16_groups)):
            zero._reassign_or_swap_out_partitioned_parameters(group)
        zero.checkpoint_event_epilogue()
    elif _stage(engine):
        if _torch_optimizer(engine).state:
            zero._hp_optimizer_states_linked = False
            zero._lazy_init_hp_params_optimizer_state()
        zero.update_lp_params()


def write_state(engine: DeepSpeedEngine, name: str, parameter: Any, state: Mapping[str, Tensor]) -> None:
    """Put back what `read_state` returned; call it inside `restoring`."""
    stage = _stage(engine)
    if not stage:
        parameter.data.copy_(state[WEIGHT])
    elif stage == 3:
        utils.safe_set_local_fp32_param(parameter, section_of(parameter, state[WEIGHT]))
    else:
        utils.safe_set_full_fp32_param(parameter, state[WEIGHT])
    held = _held_tensor(engine, parameter)
    for key, value in state.items():
        if key == WEIGHT:
            continue
        entries: dict[str, Any] = _torch_optimizer(engine).state[held]
        if value.dim() == 0:
            if float(entries.setdefault(key, _number(engine, held, value))) != float(value):
                raise StateError(
                    f"{name}: {key} is {float(value):g} but {float(entries[key]):g} in the rest of its group; continue with zero_stage=0, "
                    "where each weight has its own"
                )
        elif not stage:
            entries[key] = value.to(parameter.device, copy=True)
        elif value.shape != state[WEIGHT].shape:
            raise _wrong_shape(name, key, value)
        else:
            flat = entries.setdefault(key, torch.zeros_like(held, dtype=value.dtype, requires_grad=False))
            if stage == 3:
                utils.safe_set_local_optimizer_state(parameter, section_of(parameter, value), key)
            else:
                SectionOfGroup(parameter).put(value, flat)


def _stage(engine: DeepSpeedEngine) -> int:
    return int(engine.zero_optimization_stage())


def _torch_optimizer(engine: DeepSpeedEngine) -> torch.optim.Optimizer:
    """Torch's optimizer, which DeepSpeed wraps under ZeRO."""
    outer = engine.optimizer
    inner: torch.optim.Optimizer = getattr(outer, "optimizer", outer)
    return inner


def _held_tensor(engine: DeepSpeedEngine, parameter: nn.Parameter) -> Tensor:
    """The tensor that torch's optimizer updates: the parameter, or this worker's partition of its group's flat tensor."""
    zero, stage = engine.optimizer, _stage(engine)
    if not stage:
        return parameter
    if stage == 3:
        group, *_ = zero.grad_position[zero.get_param_id(parameter)]
        flat: Tensor = zero.fp32_partitioned_groups_flat[group]
        return flat
    groups = (number for number, group in enumerate(zero.bit16_groups) if any(member is parameter for member in group))
    flat = zero.single_partition_of_fp32_groups[next(groups)]
    return flat


def _number(engine: DeepSpeedEngine, held: Tensor, value: Tensor) -> Any:
    if value.dtype in PYTHON_NUMBERS.values():
        return value.item()
    on_device = any(group.get("fused") or group.get("capturable") for group in _torch_optimizer(engine).param_groups)
    return value.to(held.device if on_device else "cpu", copy=True)


def _wrong_shape(name: str, key: str, value: Tensor) -> StateError:
    shape = tuple(value.shape)
    return StateError(f"{name}: {key} has shape {shape}, which ZeRO can't partition like the weight; continue with zero_stage=0")
