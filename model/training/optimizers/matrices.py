"""Whole matrices for a worker's optimizer, whether it holds the matrices themselves or ZeRO's partitions of them.

In stage 0 an optimizer holds each matrix. In stages 1 to 3 it holds flat tensors: in 1 and 2 this worker's section of a group laid end to
end, in 3 this worker's section of each matrix, laid end to end.
Cost of `map_matrices`: each worker computes every n-th matrix of n workers; each matrix is sent twice, and n of them are in memory, or n
times as many as a worker computes at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from deepspeed import DeepSpeedEngine
from torch import Tensor, distributed, nn


class HeldMatrix(Protocol):
    """A matrix that is held, whole or in part, by one of the optimizer's tensors."""

    def gather(self, values: Tensor) -> Tensor:
        """Return the whole matrix from `values`, which are laid out like the optimizer's tensor. A collective."""
        ...

    def put(self, whole: Tensor, values: Tensor) -> None:
        """Write this worker's part of a whole matrix into `values`."""
        ...


class WholeMatrix:
    """A matrix that the optimizer holds itself."""

    def gather(self, values: Tensor) -> Tensor:
        """Return the matrix itself."""
        return values

    def put(self, whole: Tensor, values: Tensor) -> None:
        """Copy the matrix."""
        values.copy_(whole)


class SectionOfGroup:
    """A parameter of ZeRO 1 and 2: of a group laid end to end, each worker holds one section, which may begin or end inside a matrix."""

    def __init__(self, parameter: Any) -> None:
        self._parameter = parameter

    def gather(self, values: Tensor) -> Tensor:
        """Return the sum over workers of zeros with each one's part in its place.

        DeepSpeed's `safe_get_full_optimizer_state` finds nothing for parameters outside the first group.
        """
        whole = torch.zeros(self._parameter.numel(), dtype=values.dtype, device=self._parameter.device)
        if (mapping := self._parameter._hp_mapping) is not None:
            here, there = mapping.hp_fragment_address, mapping.lp_fragment_address
            whole.narrow(0, there.start, there.numel).copy_(values.narrow(0, here.start, here.numel))
        distributed.all_reduce(whole, group=self._parameter._dp_group)
        return whole.reshape(self._parameter.shape)

    def put(self, whole: Tensor, values: Tensor) -> None:
        """Copy this worker's part, if it has one."""
        if (mapping := self._parameter._hp_mapping) is not None:
            here, there = mapping.hp_fragment_address, mapping.lp_fragment_address
            values.narrow(0, here.start, here.numel).copy_(whole.flatten().narrow(0, there.start, there.numel))


class SectionOfMatrix:
    """A parameter of ZeRO 3: each worker holds an equal section of it, the last one padded, `offset` numbers into a flat tensor."""

    def __init__(self, parameter: Any, offset: int) -> None:
        self._parameter, self._offset = parameter, offset

    def gather(self, values: Tensor) -> Tensor:
        """Return the workers' sections, end to end."""
        size, group = self._parameter.ds_tensor.numel(), self._parameter.ds_process_group
        section = values.narrow(0, self._offset, size).to(self._parameter.device).contiguous()
        sections = torch.empty(size * distributed.get_world_size(group), dtype=values.dtype, device=section.device)
        distributed.all_gather_into_tensor(sections, section, group=group)
        return sections[: self._parameter.ds_numel].reshape(self._parameter.ds_shape)

    def put(self, whole: Tensor, values: Tensor) -> None:
        """Copy this worker's section; padding becomes zero."""
        section = section_of(self._parameter, whole)
        values.narrow(0, self._offset, section.numel()).copy_(section)


def section_of(parameter: Any, whole: Tensor) -> Tensor:
    """Return this worker's section of a whole tensor in ZeRO 3; the last one is padded with zeros."""
    size: int = parameter.ds_tensor.numel()
    rank = distributed.get_rank(parameter.ds_process_group)
    section = whole.flatten()[rank * size : (rank + 1) * size]
    return nn.functional.pad(section, (0, size - section.numel()))


FindMatrices = Callable[[Tensor], Sequence[HeldMatrix]]


@runtime_checkable
class UpdatesMatrices(Protocol):
    """An optimizer of whole matrices, even where its tensors hold only parts of them."""

    def find_matrices(self, find: FindMatrices) -> None:
        """Update the matrices that `find` finds in the tensors of the groups from now on."""
        ...


def whole_matrices(held: Tensor) -> Sequence[HeldMatrix]:
    """Return the one matrix of a tensor that is one, as without ZeRO."""
    return [WholeMatrix()]


def partitioned_matrices(engine: DeepSpeedEngine) -> FindMatrices:
    """Return a function that lists the matrices in a tensor of the engine's optimizer, in the same order on every worker."""
    zero, stage = engine.optimizer, int(engine.zero_optimization_stage())
    if not stage:
        return whole_matrices

    def find(held: Tensor) -> Sequence[HeldMatrix]:
        if stage < 3:
            group = next(number for number, flat in enumerate(zero.single_partition_of_fp32_groups) if flat is held)
            return [SectionOfGroup(parameter) for parameter in zero.bit16_groups[group]]
        group = next(number for number, flat in enumerate(zero.fp32_partitioned_groups_flat) if flat is held)
        members = zero.fp16_groups[group]
        return [SectionOfMatrix(member, zero.grad_position[zero.get_param_id(member)][1]) for member in members]

    return find


def workers_here() -> int:
    """Return how many workers share the computing; 1 where there is no process group."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def map_matrices(
    held: Sequence[Tensor],
    values: Sequence[Tensor],
    find: FindMatrices,
    compute: Callable[[Sequence[Tensor]], Sequence[Tensor]],
    *,
    at_once: int = 1,
) -> list[Tensor]:
    """Return what `compute` makes of every matrix in `values`, laid out as they are. A collective, if there is a process group.

    `values` are laid out as the tensors `held` by the optimizer, in which `find` finds matrices. The workers share the computing, and
    each is given up to `at_once` matrices at a time.
    """
    workers = workers_here()
    rank = distributed.get_rank() if workers > 1 else 0
    results = [torch.zeros_like(value) for value in values]
    found = [(matrix, value, result) for tensor, value, result in zip(held, values, results, strict=True) for matrix in find(tensor)]
    for first in range(0, len(found), workers * at_once):
        shared = found[first : first + workers * at_once]
        wholes = [matrix.gather(value) for matrix, value, _ in shared]
        own = iter(compute(wholes[rank::workers]))
        wholes = [next(own) if number % workers == rank else torch.empty_like(whole) for number, whole in enumerate(wholes)]
        for number, (whole, (matrix, _, result)) in enumerate(zip(wholes, shared, strict=True)):
            if workers > 1:
                distributed.broadcast(whole, group_src=number % workers)
            matrix.put(whole, result)
    return results
