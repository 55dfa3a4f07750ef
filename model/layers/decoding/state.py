"""Keys and values of every generating row, in slots of one preallocated block.

A prefix, if there is one, is at the beginning of each slot and does not count among its row's tokens.
Rows differ in length, join at the end and leave anywhere: the last row then moves into the gap, so active rows always stay
together and no step copies them. A block grows by doubling, up to the context; a row costs the memory of the longest one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class KeptRow:
    """A row of `length` tokens."""

    length: int
    tensors: tuple[Tensor, ...]

    @property
    def size_bytes(self) -> int:
        """The memory that it holds."""
        return sum(tensor.numel() * tensor.element_size() for tensor in self.tensors)


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
        # One tensor for all layers: thousands of small ones would leave the heap full of holes.
        return KeptRow(length, (self.block[:, row, self.before : self.before + length].clone(),))

    @torch.inference_mode()
    def restore(self, kept: KeptRow, length: int) -> None:
        """Append a row that begins with the first `length` tokens of a kept one."""
        self.lengths.append(length)
        self.reserve(length)
        self.block[:, len(self.lengths) - 1, self.before : self.before + length] = kept.tensors[0][:, :length]

    @torch.inference_mode()
    def reserve(self, length: int) -> None:
        """Make room for `length` tokens of each row. Raise ValueError for more than the context has room for."""
        if length > self.context:
            raise ValueError(f"{length} tokens in a row, but the context has room for {self.context}")
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
    """The places for the new tokens of some rows: the same for all layers of a step.

    first: the first of the rows, which are the last ones of the state. end: tokens of the longest row after the step, padding included as
    far as the context reaches: a long text that joins a row near its end pads that row beyond it, and is written nowhere there.
    level: whether all rows are of one length. A single token of each row of one length, by far the commonest step, needs no index: cold,
    each small operation costs a CPU as much as multiplying a small matrix.
    """

    def __init__(self, state: SlotState, first: int, time: int, starts: Sequence[int] | None = None) -> None:
        """starts: where the new tokens of each row begin; None: after all that it holds."""
        self.state, self.first, self.time = state, first, time
        self.starts = state.lengths[first:] if starts is None else list(starts)
        self.rows, whole = len(self.starts), max(self.starts) + time
        self.level = min(self.starts) + time == whole
        self.single = self.level and time == 1
        # In rows of one length the last tokens are no padding, so beyond the context they are refused.
        self.end = whole if self.level else min(whole, state.context)
        self.cut = whole > self.end
        state.reserve(self.end)

    @cached_property
    def positions_NT(self) -> Tensor:
        """Positions of the new tokens, int64; of padding beyond the context the last one."""
        return self._places_NT.clamp(max=self.end - 1) if self.cut else self._places_NT

    @cached_property
    def _places_NT(self) -> Tensor:
        device = self.state.block.device
        start_N1 = torch.tensor(self.starts, device=device)[:, None]
        return start_N1 if self.time == 1 else start_N1 + torch.arange(self.time, device=device)

    @cached_property
    def _inside_M(self) -> Tensor:
        """The mask of the new tokens that lie within the context."""
        return (self._places_NT < self.end).flatten()

    @cached_property
    def _index_M(self) -> Tensor:
        """Indices of the new tokens within the context in the slots laid end to end."""
        slot_N = torch.arange(self.first, self.first + self.rows, device=self._places_NT.device)
        index_M = (self._places_NT + self.state.before + (slot_N * self.state.block.shape[2])[:, None]).flatten()
        return index_M[self._inside_M] if self.cut else index_M

    def update(self, layer: int, entry_MXK: Tensor) -> Tensor:
        """Write one layer's new entries; return all entries of the rows, [N, P + S, X, K]."""
        block = self.state.block[layer]
        entries_NSXK = block[self.first : self.first + self.rows, : self.state.before + self.end]
        if self.single:
            entries_NSXK[:, -1] = entry_MXK
        else:
            written_MXK = entry_MXK[self._inside_M] if self.cut else entry_MXK
            block.view(-1, *block.shape[2:]).index_copy_(0, self._index_M, written_MXK)
        return entries_NSXK

    def advance(self, counts: Sequence[int]) -> None:
        """Count the step's tokens, `counts` of each row; what was written beyond is padding, and is written over.

        Raise ValueError for a row that has more than the context has room for.
        """
        if self.cut and (most := max(start + count for start, count in zip(self.starts, counts, strict=True))) > self.end:
            raise ValueError(f"{most} tokens in a row, but the context has room for {self.end}")
        for row, count in enumerate(counts, start=self.first):
            self.state.lengths[row] += count
