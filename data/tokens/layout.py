"""How the documents of a stream are laid into rows of `sequence_length + 1` places: cut as they come, or packed by best fit.

Guarantee of both: every token is held, and except each `<|bos|>` is a target exactly once. Where a document goes on in another row,
that row begins it with the last token of the part before, as an input alone: so places = tokens + repeated + padding.
Cost: `Cut` nothing beside the rows asked for; `BestFit` about 100 bytes of memory for each part of a document and two
millionths of a second, linear in their number.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from data.tokens.rows import Columns, best_fit, cut_stream, stream_rows
from data.tokens.special import PAD
from data.tokens.stream import Numbers, Stream


class Layout(Protocol):
    """Rows that can be had in any number at a time."""

    @property
    def rows(self) -> int: ...

    def lay(self, first: int, count: int) -> tuple[Columns, int]:
        """Rows `first` to `first + count`, [count, C + 1], and how many of their tokens another row has already."""
        ...


class TextLayout(Layout, Protocol):
    """A layout of a stream, with what it did to each document; every array is int64 [documents]."""

    stream: Stream
    first_row: Numbers  # the document lies in no row before this one
    last_row: Numbers  # nor in one after this
    separated: Numbers  # tokens in rows that don't hold the document's beginning
    repeated: Numbers  # places that hold a token of the document once more
    padding: Numbers  # empty places between the end of the document and the end of its row


class Cut:
    """Concatenate and cut: the stream is cut every `sequence_length` tokens; only the last row is padded."""

    def __init__(self, stream: Stream, sequence_length: int) -> None:
        self.stream, self._length = stream, sequence_length
        self.rows = stream_rows(len(stream), sequence_length)
        starts, ends = stream.starts[:-1], stream.starts[1:]
        # A token that two rows share is a target in the earlier one, and is looked for there.
        self.first_row = np.maximum(0, starts - 1) // sequence_length
        self.last_row = np.maximum(0, ends - 2) // sequence_length
        self.separated = np.maximum(0, ends - 1 - (starts // sequence_length + 1) * sequence_length)
        shared = np.searchsorted(starts, np.arange(1, self.rows) * sequence_length, side="right") - 1
        self.repeated = np.bincount(shared, minlength=len(starts)).astype(np.int64)
        self.padding = np.zeros(len(starts), dtype=np.int64)
        if self.rows:
            self.padding[-1] = self.rows * sequence_length + 1 - len(stream)

    def lay(self, first: int, count: int) -> tuple[Columns, int]:
        part = self.stream.take(first * self._length, (first + count) * self._length + 1)
        return cut_stream(part, count, self._length), count - (1 if first == 0 and count else 0)


class BestFit:
    """Best-fit packing (Ding et al. 2024, "Fewer Truncations Improve Language Modeling"): what fits a row is never cut.

    A longer document becomes parts of a whole row each, and the rest of it is packed as if it were a document. Rows come in the order
    of the first part that they hold, so they follow the stream.
    """

    def __init__(self, stream: Stream, sequence_length: int) -> None:
        self.stream, self._width = stream, sequence_length + 1
        parts = -(-(stream.lengths - 1) // sequence_length)
        document = np.repeat(np.arange(len(parts)), parts)
        offset = (np.arange(len(document)) - np.repeat(np.cumsum(parts) - parts, parts)) * sequence_length
        length = np.minimum(self._width, stream.lengths[document] - offset)
        row, place = _plan(length, self._width)
        self.rows = int(row.max()) + 1 if len(row) else 0
        order = np.lexsort((place, row))
        self._length, self._place, self._offset = length[order], place[order], offset[order]
        self._origin = (stream.origins[document] + offset)[order]
        self._first = np.searchsorted(row[order], np.arange(self.rows + 1))
        self.separated = np.maximum(0, stream.lengths - self._width)
        self.repeated = parts - 1
        self.first_row, self.last_row = (np.zeros(len(parts), dtype=np.int64) for _ in range(2))
        if len(parts):
            begin = np.cumsum(parts) - parts
            self.first_row, self.last_row = np.minimum.reduceat(row, begin), np.maximum.reduceat(row, begin)
        last = self._first[1:] - 1
        room = self._width - self._place[last] - self._length[last]
        self.padding = np.bincount(document[order][last], weights=room, minlength=len(parts)).astype(np.int64)

    def lay(self, first: int, count: int) -> tuple[Columns, int]:
        bounds = self._first[first : first + count + 1]
        parts = slice(int(bounds[0]), int(bounds[-1]))
        here = np.diff(bounds)
        length, offset = self._length[parts], self._offset[parts]
        begin = np.repeat(np.arange(count), here) * self._width + self._place[parts]
        ordinal = np.arange(len(length)) - np.repeat(bounds[:-1] - bounds[0], here)
        step = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length)
        to = np.repeat(begin, length) + step
        tokens = np.full(count * self._width, PAD, dtype=self.stream.file.dtype)
        tokens[to] = self.stream.file[np.repeat(self._origin[parts], length) + step]
        document = np.repeat(here, self._width).astype(np.uint16)
        document[to] = np.repeat(ordinal, length)
        loss = np.zeros(count * self._width, dtype=np.bool_)
        loss[to] = True
        loss[begin] = False
        columns: Columns = {"tokens": tokens, "document": document, "loss": loss}
        return {name: values.reshape(count, self._width) for name, values in columns.items()}, int(np.count_nonzero(offset))


def _plan(length: Numbers, width: int) -> tuple[Numbers, Numbers]:
    """The row of each part, and its place in it; rows are numbered by the first part that they hold."""
    full: NDArray[np.bool_] = length == width
    rest = np.flatnonzero(~full)
    packed = best_fit(length[rest].tolist(), width)
    row, place = np.zeros(len(length), dtype=np.int64), np.zeros(len(length), dtype=np.int64)
    heads = [np.flatnonzero(full), np.array([rest[min(numbers)] for numbers in packed], dtype=np.int64)]
    rank = np.empty(sum(map(len, heads)), dtype=np.int64)
    rank[np.argsort(np.concatenate(heads), kind="stable")] = np.arange(len(rank))
    row[full] = rank[: len(heads[0])]
    for number, numbers in enumerate(packed, start=len(heads[0])):
        held = rest[numbers]
        row[held] = rank[number]
        place[held] = np.cumsum(length[held]) - length[held]
    return row, place


def make_layout(stream: Stream, method: str, sequence_length: int) -> TextLayout:
    """The layout that a packing method names."""
    return BestFit(stream, sequence_length) if method == "best_fit" else Cut(stream, sequence_length)
