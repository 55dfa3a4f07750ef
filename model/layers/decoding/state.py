"""Keys and values of every row that writes, in slots of one preallocated block a layer.

Rows have lengths of their own, join at the end and leave anywhere: the last row then moves into the gap, so that active rows always lie
together and no step copies them. A block grows by doubling, up to the context; a row costs the memory of the longest one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

PAGE = 64  # tokens; the least by which slots grow


class SlotState:
    """`entry`: the shape of what each layer keeps of a token, such as (2 kv_heads, head_width).

    lengths: tokens of each row so far.
    """

    def __init__(self, layers: int, entry: tuple[int, int], context: int, device: torch.device) -> None:
        self.entry, self.context = entry, context
        self.lengths: list[int] = []
        self.blocks: list[Tensor] = [torch.empty((0, 0, *entry), device=device) for _ in range(layers)]  # [slots, capacity, *entry]

    def add(self, rows: int) -> None:
        """Let empty rows join, after the others."""
        self.lengths += [0] * rows

    def remove(self, row: int) -> None:
        """Let a row leave; the last row takes its place."""
        last = len(self.lengths) - 1
        if row != last:
            length = self.lengths[row] = self.lengths[last]
            for block in self.blocks:
                block[row, :length] = block[last, :length]
        del self.lengths[last]

    def reserve(self, length: int) -> None:
        """Make room for `length` tokens of each row. Raise ValueError beyond the context's room."""
        slots, capacity = self.blocks[0].shape[:2]
        rows = len(self.lengths)
        if rows <= slots and length <= capacity:
            return
        slots = slots if rows <= slots else max(rows, 2 * slots)
        capacity = capacity if length <= capacity else max(length, min(max(PAGE, 2 * capacity), self.context))
        for layer, old in enumerate(self.blocks):
            new = old.new_zeros((slots, capacity, *self.entry))
            new[: old.shape[0], : old.shape[1]] = old
            self.blocks[layer] = new


class Window:
    """Where the new tokens of some rows go, and what they see: the same for all layers of a step.

    first: the first of the rows, which are the last ones of the state. ends: tokens of each row after the step, padding included.
    """

    def __init__(self, state: SlotState, first: int, time: int) -> None:
        self.state, self.first, self.time = state, first, time
        starts = state.lengths[first:]
        self.rows, self.end = len(starts), max(starts) + time
        self.level = min(starts) + time == self.end  # whether all rows are of one length
        state.reserve(self.end)
        device = state.blocks[0].device
        start_N = torch.tensor(starts, device=device)
        self.positions_NT = start_N[:, None] + torch.arange(time, device=device) if time > 1 else start_N[:, None]
        capacity = state.blocks[0].shape[1]
        slot_N = torch.arange(first, first + self.rows, device=device)
        self.index_M = (self.positions_NT + (slot_N * capacity)[:, None]).flatten()

    def update(self, layer: int, entry_MXK: Tensor) -> Tensor:
        """Write one layer's new entries; return all entries of the rows, [N, S, X, K]."""
        block = self.state.blocks[layer]
        block.view(-1, *block.shape[2:]).index_copy_(0, self.index_M, entry_MXK)
        return block[self.first : self.first + self.rows, : self.end]

    def advance(self, counts: Sequence[int]) -> None:
        """Count the step's tokens, `counts` of each row; what was written beyond is padding, and is written over."""
        for row, count in enumerate(counts, start=self.first):
            self.state.lengths[row] += count
