"""A parameter with its optimizer's state, whole and free of layout: read from any ZeRO stage, written into any other.

Guarantee: what was written under `restoring`, `read_state` gives back bit for bit, on any number of workers and in any ZeRO stage, also
where ZeRO has cut weights and states into flat partitions, and for several parameter groups.
Cost: ZeRO gathers one tensor at a time, so memory holds one whole tensor more.
When it can't: a state that isn't an element for each of the parameter's works in stage 0 alone, and so do parameters of one group that
were not updated equally often, because under ZeRO a group is one flat tensor. Both raise StateError naming the parameter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from deepspeed import utils
from torch import Tensor

from model.training.checkpoint.optimizer_access import home_of, torch_optimizer, whole_state
from model.training.engine import Piece
from model.training.parallel.engines import AnyEngine

WEIGHT = "weight"
# Python's own numbers become 0-dimensional tensors of these types; torch's optimizers count in fp32.
PYTHON = {int: torch.int64, float: torch.float64}


class StateError(RuntimeError):
    """An optimizer's state does not fit the layout asked for."""


def read_state(engine: AnyEngine, piece: Piece) -> dict[str, Tensor]:
    """`weight` (fp32) and all that the optimizer keeps for it by its names: elements of the weight's shape, or 0-dimensional numbers.

    A meeting of all workers. Tensors may share memory with the engine's: copy what is to outlive the next update.
    """
    parameter, stage = piece.parameter, _stage(engine)
    home = home_of(engine.deepspeed, parameter)
    state: dict[str, Tensor] = {WEIGHT: utils.safe_get_full_fp32_param(parameter) if stage else parameter.detach()}
    for name, value in sorted(torch_optimizer(engine.deepspeed).state.get(home, {}).items()):
        if not torch.is_tensor(value):
            state[name] = torch.tensor(value, dtype=PYTHON[type(value)])
        elif value.dim() == 0 or not stage:
            state[name] = value.detach()
        elif value.shape != home.shape:
            raise _misfit(piece, name, value)
        else:
            state[name] = whole_state(engine.deepspeed, parameter, name)
    return state


@contextmanager
def restoring(engine: AnyEngine) -> Iterator[None]:
    """Inside, `write_state` for every piece; the engine forgets its optimizer's state first and uses the written weights afterwards."""
    zero = engine.deepspeed.optimizer
    torch_optimizer(engine.deepspeed).state.clear()
    if _stage(engine) == 3:
        # Weights that all workers hold whole would otherwise outlive their partitions.
        zero.checkpoint_event_prologue()
    yield
    if _stage(engine) == 3:
        for group in range(len(zero.fp16_groups)):
            zero._reassign_or_swap_out_partitioned_parameters(group)
        zero.checkpoint_event_epilogue()
    elif _stage(engine):
        if torch_optimizer(engine.deepspeed).state:
            zero._hp_optimizer_states_linked = False
            zero._lazy_init_hp_params_optimizer_state()
        zero.update_lp_params()


def write_state(engine: AnyEngine, piece: Piece, state: Mapping[str, Tensor]) -> None:
    """Put a parameter and its optimizer's state back, under `restoring`."""
    parameter: Any = piece.parameter
    stage = _stage(engine)
    if not stage:
        parameter.data.copy_(state[WEIGHT])
    elif stage == 3:
        utils.safe_set_local_fp32_param(parameter, _partition(parameter, state[WEIGHT]))
    else:
        utils.safe_set_full_fp32_param(parameter, state[WEIGHT])
    home = home_of(engine.deepspeed, parameter)
    for name, value in state.items():
        if name == WEIGHT:
            continue
        kept: dict[str, Any] = torch_optimizer(engine.deepspeed).state[home]
        if value.dim() == 0:
            if float(kept.setdefault(name, _number(engine, home, value))) != float(value):
                raise StateError(
                    f"{piece.name}: {name} is {float(value):g} and that of its group {float(kept[name]):g}; go on with "
                    "zero_stage=0, where each weight has its own"
                )
        elif not stage:
            kept[name] = value.to(parameter.device, copy=True)
        elif value.shape != state[WEIGHT].shape:
            raise _misfit(piece, name, value)
        else:
            flat = kept.setdefault(name, torch.zeros_like(home, dtype=value.dtype, requires_grad=False))
            if stage == 3:
                utils.safe_set_local_optimizer_state(parameter, _partition(parameter, value), name)
            elif (mapping := parameter._hp_mapping) is not None:
                here, there = mapping.hp_fragment_address, mapping.lp_fragment_address
                flat.narrow(0, here.start, here.numel).copy_(value.flatten().narrow(0, there.start, there.numel))


def read_counters(engine: AnyEngine) -> dict[str, Any]:
    """The numbers of the engine as a whole: its own (`scalars`), and what DeepSpeed counts."""
    inside = engine.deepspeed
    return {"scalars": engine.scalars(), "global_steps": inside.global_steps, "global_samples": inside.global_samples}


def write_counters(engine: AnyEngine, counters: Mapping[str, Any]) -> None:
    """Put `read_counters` back; the learning rate follows from the number of updates.

    Micro-batches are counted anew, as another layout has another number of them in an update.
    """
    inside = engine.deepspeed
    engine.set_scalars(counters["scalars"])
    inside.global_steps, inside.global_samples = counters["global_steps"], counters["global_samples"]
    inside.micro_steps = counters["global_steps"] * inside.gradient_accumulation_steps()


def _stage(engine: AnyEngine) -> int:
    return int(engine.deepspeed.zero_optimization_stage())


def _partition(parameter: Any, whole: Tensor) -> Tensor:
    """This worker's part of a whole tensor under stage 3, whose last part is filled up with zeros."""
    size: int = parameter.ds_tensor.numel()
    rank = torch.distributed.get_rank(parameter.ds_process_group)
    part = whole.flatten()[rank * size : (rank + 1) * size]
    return torch.nn.functional.pad(part, (0, size - part.numel()))


def _number(engine: AnyEngine, home: Tensor, value: Tensor) -> Any:
    if value.dtype in PYTHON.values():
        return value.item()
    counted_there = any(group.get("fused") or group.get("capturable") for group in torch_optimizer(engine.deepspeed).param_groups)
    return value.to(home.device if counted_there else "cpu", copy=True)


def _misfit(piece: Piece, name: str, value: Tensor) -> StateError:
    shape = tuple(value.shape)
    return StateError(f"{piece.name}: {name} has shape {shape}, which ZeRO can't cut as it cuts the weight; go on with zero_stage=0")
