"""Whole matrices for a worker's optimizer, whether it holds the matrices themselves or ZeRO's partitions of them.

In stage 0 an optimizer holds each matrix. In stages 1 to 3 it holds flat tensors: in 1 and 2 this worker's section of a group laid end to
end, in 3 this worker's section of each matrix, laid end to end.
Cost of `map_matrices`: each worker computes every n-th matrix of n workers; each matrix is sent twice. A worker keeps what it computes
itself, at most a batch, and one matrix of another's at a time, however many workers there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from deepspeed import DeepSpeedEngine
from torch import Tensor, distributed, nn


class HeldMatrix(Protocol):
    """A matrix that is held, whole or in part, by one of the optimizer's tensors. `numbers`: how many it has."""

    @property
    def numbers(self) -> int: ...

    def gather(self, values: Tensor) -> Tensor:
        """Return the whole matrix from `values`, which are laid out like the optimizer's tensor. A collective."""
        ...

    def put(self, whole: Tensor, values: Tensor) -> None:
        """Write this worker's part of a whole matrix into `values`."""
        ...


class WholeMatrix:
    """A matrix that the optimizer holds itself."""

    def __init__(self, numbers: int) -> None:
        self.numbers = numbers

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
        self.numbers: int = parameter.numel()

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
        self.numbers: int = parameter.ds_numel

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
    return [WholeMatrix(held.numel())]


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


Compute = Callable[[Sequence[Tensor]], Sequence[Tensor]]


def map_matrices(
    held: Sequence[Tensor],
    values: Callable[[Tensor], Tensor],
    find: FindMatrices,
    compute: Compute,
    *,
    at_once: int = 1,
    numbers_at_once: int = 0,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield each tensor held, with what `compute` makes of every matrix in its `values`, laid out as they are. A collective, if there is
    a process group: exhaust it.

    `values` are computed when they are needed and let go afterwards. The workers share the computing, and each is given up to `at_once`
    matrices at a time, of `numbers_at_once` numbers together if that isn't 0, but one at least.
    """
    workers = workers_here()
    rank = distributed.get_rank() if workers > 1 else 0
    found = [(index, matrix) for index, tensor in enumerate(held) for matrix in find(tensor)]
    to_gather = Counter(index for index, _ in found)
    to_put = Counter(to_gather)
    sources, results = dict[int, Tensor](), dict[int, Tensor]()
    for shared in _batches(found, workers, at_once, numbers_at_once):
        own, places = list[Tensor](), list[tuple[torch.Size, torch.dtype, torch.device]]()
        for number, (index, matrix) in enumerate(shared):
            if index not in sources:
                sources[index] = values(held[index])
            whole = matrix.gather(sources[index])
            places.append((whole.shape, whole.dtype, whole.device))
            if number % workers == rank:
                own.append(whole)
            to_gather[index] -= 1
            if not to_gather[index]:
                del sources[index]
        computed = list(compute(own))[::-1]
        del own, whole  # before the results are sent
        for number, ((index, matrix), (shape, dtype, device)) in enumerate(zip(shared, places, strict=True)):
            whole = computed.pop() if number % workers == rank else torch.empty(shape, dtype=dtype, device=device)
            if workers > 1:
                distributed.broadcast(whole, group_src=number % workers)
            if index not in results:
                results[index] = torch.zeros_like(held[index])
            matrix.put(whole, results[index])
            to_put[index] -= 1
            if not to_put[index]:
                yield held[index], results.pop(index)


def _batches(
    found: Sequence[tuple[int, HeldMatrix]], workers: int, at_once: int, numbers_at_once: int
) -> Iterator[Sequence[tuple[int, HeldMatrix]]]:
    """Yield matrices in rounds of one for each worker: as many rounds together as no worker's share of them goes beyond the limits."""
    batch, rounds, numbers = list[tuple[int, HeldMatrix]](), 0, 0
    for first in range(0, len(found), workers):
        a_round = found[first : first + workers]
        largest = max(matrix.numbers for _, matrix in a_round)
        if batch and (rounds == at_once or 0 < numbers_at_once < numbers + largest):
            yield batch
            batch, rounds, numbers = [], 0, 0
        batch, rounds, numbers = [*batch, *a_round], rounds + 1, numbers + largest
    if batch:
        yield batch
