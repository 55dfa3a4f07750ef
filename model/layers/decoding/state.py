"""Keys and values of every generating row, in slots of one preallocated block.

A prefix, if there is one, is at the beginning of each slot and does not count among its row's tokens.
Rows differ in length, join at the end and leave anywhere: the last row then moves into the gap, so active rows always stay
together and no step copies them. A block grows by doubling, up to the context; a row costs the memory of the longest one.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from model.layers.decoding.kept import KeptRow

PAGE = 64  # tokens; slots grow by at least this many


class SlotState:
    """`entry`: the shape of what each layer keeps of a token, such as (2 kv_heads, head_width).

    before: of each layer what stands before every row, [P, *entry].
    lengths: tokens of each row so far.
    """

    cuts = True

    def __init__(
        self, layers: int, entry: tuple[int, int], context: int, device: torch.device, before: Sequence[Tensor] | None = None
    ) -> None:
        self.entry, self.context = entry, context
        self.before, self._before = 0 if before is None else len(before[0]), before
        self.lengths: list[int] = []
        self.block = torch.empty((layers, 0, self.before, *entry), device=device)  # [layers, slots, P + capacity, *entry]

    def add(self, rows: int) -> None:
        """Append empty rows."""
        self.lengths += [0] * rows

    @torch.inference_mode()
    def remove(self, row: int) -> None:
        """Remove a row; the last row takes its place."""
        last = len(self.lengths) - 1
        if row != last:
            length = self.lengths[row] = self.lengths[last]
            self.block[:, row, : self.before + length] = self.block[:, last, : self.before + length]
        del self.lengths[last]

    @torch.inference_mode()
    def select(self, rows: Sequence[int]) -> None:
        """Replace the rows by copies of these, in this order; one may be chosen several times or never."""
        self.lengths = [self.lengths[row] for row in rows]
        longest = max(self.lengths, default=0)
        self.reserve(longest)
        index_N = torch.tensor(rows, dtype=torch.int64, device=self.block.device)
        for block in self.block:
            block[: len(rows), : self.before + longest] = block[index_N, : self.before + longest]

    def cut(self, row: int, length: int) -> None:
        """Forget what a row holds beyond `length` tokens."""
        self.lengths[row] = length

    @torch.inference_mode()
    def keep(self, row: int) -> KeptRow:
        """Return a copy of a row."""
        length = self.lengths[row]
        return KeptRow(length, tuple(block[row, self.before : self.before + length].clone() for block in self.block))

    @torch.inference_mode()
    def restore(self, kept: KeptRow, length: int) -> None:
        """Append a row that begins with the first `length` tokens of a kept one."""
        self.lengths.append(length)
        self.reserve(length)
        for block, entries in zip(self.block, kept.tensors, strict=True):
            block[len(self.lengths) - 1, self.before : self.before + length] = entries[:length]

    @torch.inference_mode()
    def reserve(self, length: int) -> None:
        """Make room for `length` tokens of each row. Raise ValueError beyond the context's room."""
        slots, capacity = self.block.shape[1], self.block.shape[2] - self.before
        rows = len(self.lengths)
        if rows <= slots and length <= capacity:
            return
        slots = slots if rows <= slots else max(rows, 2 * slots)
        capacity = capacity if length <= capacity else max(length, min(max(PAGE, 2 * capacity), self.context))
        old = self.block
        self.block = old.new_zeros((len(old), slots, self.before + capacity, *self.entry))
        for layer, before in enumerate(self._before or ()):
            self.block[layer, :, : self.before] = before
        self.block[:, : old.shape[1], : old.shape[2]] = old


class Window:
    """Where the new tokens of some rows go: the same for all layers of a step.

    first: the first of the rows, which are the last ones of the state. end: tokens of the longest row after the step, padding included.
    level: whether all rows are of one length. A single token of each row of one length, by far the commonest step, needs no index: cold,
    each small operation costs a CPU as much as multiplying a small matrix.
    """

    def __init__(self, state: SlotState, first: int, time: int) -> None:
        self.state, self.first, self.time = state, first, time
        self.starts = state.lengths[first:]
        self.rows, self.end = len(self.starts), max(self.starts) + time
        self.level = min(self.starts) + time == self.end
        self.single = self.level and time == 1
        state.reserve(self.end)

    @cached_property
    def positions_NT(self) -> Tensor:
        """Positions of the new tokens, int64."""
        device = self.state.block.device
        start_N1 = torch.tensor(self.starts, device=device)[:, None]
        return start_N1 if self.time == 1 else start_N1 + torch.arange(self.time, device=device)

    @cached_property
    def _index_M(self) -> Tensor:
        """Indices of the new tokens in the slots laid end to end."""
        slot_N = torch.arange(self.first, self.first + self.rows, device=self.positions_NT.device)
        return (self.positions_NT + self.state.before + (slot_N * self.state.block.shape[2])[:, None]).flatten()

    def update(self, layer: int, entry_MXK: Tensor) -> Tensor:
        """Write one layer's new entries; return all entries of the rows, [N, P + S, X, K]."""
        block = self.state.block[layer]
        entries_NSXK = block[self.first : self.first + self.rows, : self.state.before + self.end]
        if self.single:
            entries_NSXK[:, -1] = entry_MXK
        else:
            block.view(-1, *block.shape[2:]).index_copy_(0, self._index_M, entry_MXK)
        return entries_NSXK

    def advance(self, counts: Sequence[int]) -> None:
        """Count the step's tokens, `counts` of each row; what was written beyond is padding, and is written over."""
        for row, count in enumerate(counts, start=self.first):
            self.state.lengths[row] += count
