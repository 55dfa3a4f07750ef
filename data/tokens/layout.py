"""Lays out the documents of a stream in rows of `sequence_length + 1` tokens: cut as they come, or packed by best fit.

In both, every token is in some row, and every token except each `<|bos|>` is a target exactly once. Where a document continues in another
row, that row begins with the last token of the part before, as an input only: so positions = tokens + repeated + padding.
`CutLayout` needs no memory besides the rows asked for; `BestFit` about 100 bytes and two microseconds for each part of a document, linear.

Writes documents.parquet, which says where each document is in the packed rows, for lineage and take-down.

Not every row between the first and the last needs to hold the document: best fit packs the rest of a long one wherever there is room.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from data.tokens.pictures import PictureBook
from data.tokens.rows import Columns, best_fit, cut_stream, stream_rows
from data.tokens.stream import Numbers, Stream

if TYPE_CHECKING:
    import pyarrow as pa


class RowLayout(Protocol):
    """Rows that can be built in any number at a time."""

    @property
    def rows(self) -> int: ...

    def build_rows(self, first: int, count: int) -> tuple[Columns, int]:
        """Return rows `first` to `first + count`, [count, C + 1], and how many of their tokens repeat a token of another row."""
        ...


class TextLayout(RowLayout, Protocol):
    """The layout of a stream, with its effect on each document; every array is int64 [documents]."""

    stream: Stream
    first_row: Numbers  # the first row that holds the document
    last_row: Numbers  # the last one
    separated: Numbers  # tokens in rows without the document's beginning
    repeated: Numbers  # positions that hold a token of the document again
    padding: Numbers  # padding between the end of the document and the end of its row


class CutLayout:
    """Concatenate and cut: a new row begins every `sequence_length` tokens; only the last row is padded."""

    def __init__(self, stream: Stream, sequence_length: int) -> None:
        self.stream, self._length = stream, sequence_length
        self.rows = stream_rows(len(stream), sequence_length)
        starts, ends = stream.starts[:-1], stream.starts[1:]
        # A token that two rows share counts for the earlier one, where it is a target.
        self.first_row = np.maximum(0, starts - 1) // sequence_length
        self.last_row = np.maximum(0, ends - 2) // sequence_length
        self.separated = np.maximum(0, ends - 1 - (starts // sequence_length + 1) * sequence_length)
        shared = np.searchsorted(starts, np.arange(1, self.rows) * sequence_length, side="right") - 1
        self.repeated = np.bincount(shared, minlength=len(starts)).astype(np.int64)
        self.padding = np.zeros(len(starts), dtype=np.int64)
        if self.rows:
            self.padding[-1] = self.rows * sequence_length + 1 - len(stream)

    def build_rows(self, first: int, count: int) -> tuple[Columns, int]:
        begin, end = first * self._length, (first + count) * self._length + 1
        part, starts = self.stream.take(begin, end), self.stream.starts[:-1]
        begun = np.zeros(len(part), dtype=np.bool_)
        begun[starts[np.searchsorted(starts, begin) : np.searchsorted(starts, begin + len(part))] - begin] = True
        return cut_stream(part, count, self._length, begun, self.stream.pad), count - (1 if first == 0 and count else 0)


class BestFit:
    """Best-fit packing (Ding et al. 2024, "Fewer Truncations Improve Language Modeling"): what fits a row is never cut.

    A longer document is divided into parts of a full row each, or less where a picture would be cut, and its rest is packed like a
    document. Rows are ordered by the first part that they hold, so they follow the stream.
    """

    def __init__(self, stream: Stream, sequence_length: int) -> None:
        self.stream, self._width = stream, sequence_length + 1
        parts = -(-(stream.lengths - 1) // sequence_length)
        document = np.repeat(np.arange(len(parts)), parts)
        offset = (np.arange(len(document)) - np.repeat(np.cumsum(parts) - parts, parts)) * sequence_length
        length = np.minimum(self._width, stream.lengths[document] - offset)
        if stream.pictures is not None:
            parts, document, offset, length = _around_pictures(stream, stream.pictures, self._width)
        row, start = _plan(length, self._width)
        self.rows = int(row.max()) + 1 if len(row) else 0
        order = np.lexsort((start, row))
        self._length, self._start, self._offset = length[order], start[order], offset[order]
        self._origin = (stream.origins[document] + offset)[order]
        self._first = np.searchsorted(row[order], np.arange(self.rows + 1))
        self.separated = stream.lengths - length[np.cumsum(parts) - parts] if len(parts) else np.zeros(0, dtype=np.int64)
        self.repeated = parts - 1
        self.first_row, self.last_row = (np.zeros(len(parts), dtype=np.int64) for _ in range(2))
        if len(parts):
            begin = np.cumsum(parts) - parts
            self.first_row, self.last_row = np.minimum.reduceat(row, begin), np.maximum.reduceat(row, begin)
        last = self._first[1:] - 1
        room = self._width - self._start[last] - self._length[last]
        self.padding = np.bincount(document[order][last], weights=room, minlength=len(parts)).astype(np.int64)

    def build_rows(self, first: int, count: int) -> tuple[Columns, int]:
        bounds = self._first[first : first + count + 1]
        parts = slice(int(bounds[0]), int(bounds[-1]))
        here = np.diff(bounds)
        length, offset = self._length[parts], self._offset[parts]
        begin = np.repeat(np.arange(count), here) * self._width + self._start[parts]
        ordinal = np.arange(len(length)) - np.repeat(bounds[:-1] - bounds[0], here)
        step = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length)
        to = np.repeat(begin, length) + step
        tokens = np.full(count * self._width, self.stream.pad, dtype=self.stream.file.dtype)
        tokens[to] = self.stream.file[np.repeat(self._origin[parts], length) + step]
        document = np.repeat(here, self._width).astype(np.uint16)
        document[to] = np.repeat(ordinal, length)
        loss = np.zeros(count * self._width, dtype=np.bool_)
        loss[to] = True
        loss[begin] = False
        columns: Columns = {"tokens": tokens, "document": document, "loss": loss}
        return {name: values.reshape(count, self._width) for name, values in columns.items()}, int(np.count_nonzero(offset))


def _around_pictures(stream: Stream, pictures: PictureBook, width: int) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """Return how many parts each document is divided into, and of each part its document, where in that it begins, and its length."""
    begins: list[list[int]] = []
    for origin, size in zip(stream.origins.tolist(), stream.lengths.tolist(), strict=True):
        cuts = pictures.cuts(stream.file[origin : origin + size], width) if size > width else []
        begins.append([0, *(cut - 1 for cut in cuts)])
    parts = np.array([len(one) for one in begins], dtype=np.int64)
    document = np.repeat(np.arange(len(parts)), parts)
    offset = np.array([at for one in begins for at in one], dtype=np.int64)
    ends = [end + 1 for one, size in zip(begins, stream.lengths.tolist(), strict=True) for end in (*one[1:], size - 1)]
    return parts, document, offset, np.array(ends, dtype=np.int64) - offset


def _plan(length: Numbers, width: int) -> tuple[Numbers, Numbers]:
    """Return the row of each part and its offset in the row; rows are numbered by the first part that they hold."""
    full: NDArray[np.bool_] = length == width
    rest = np.flatnonzero(~full)
    packed = best_fit(length[rest].tolist(), width)
    row, start = np.zeros(len(length), dtype=np.int64), np.zeros(len(length), dtype=np.int64)
    heads = [np.flatnonzero(full), np.array([rest[min(numbers)] for numbers in packed], dtype=np.int64)]
    rank = np.empty(sum(map(len, heads)), dtype=np.int64)
    rank[np.argsort(np.concatenate(heads), kind="stable")] = np.arange(len(rank))
    row[full] = rank[: len(heads[0])]
    for number, numbers in enumerate(packed, start=len(heads[0])):
        parts = rest[numbers]
        row[parts] = rank[number]
        start[parts] = np.cumsum(length[parts]) - length[parts]
    return row, start


def make_layout(stream: Stream, method: str, sequence_length: int) -> TextLayout:
    """Return the layout for a packing method. Raise ValueError where it would cut pictures."""
    if stream.pictures is not None and method != "best_fit":
        raise ValueError(f"method={method} cuts rows anywhere, also within pictures; use method=best_fit")
    return BestFit(stream, sequence_length) if method == "best_fit" else CutLayout(stream, sequence_length)


def documents_table(split: str, layout: TextLayout, row_numbers: NDArray[np.int64]) -> pa.Table:
    """Return a row for each document of a layout. `row_numbers` are the layout's rows among all rows of the split."""
    import pyarrow as pa

    stream = layout.stream
    columns: dict[str, Any] = {"id": pa.array(stream.ids, pa.string()), "split": pa.array([split] * len(stream.ids), pa.string())}
    columns |= {"source": pa.array(stream.sources, pa.string()), "tokens": pa.array(stream.lengths), "bytes": pa.array(stream.bytes)}
    columns |= {"first_row": pa.array(row_numbers[layout.first_row]), "last_row": pa.array(row_numbers[layout.last_row])}
    return pa.table(columns)


def write_documents(path: Path, tables: list[pa.Table]) -> None:
    """Write all tables as one, ordered by id and split."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    ordered = pa.concat_tables(tables).sort_by([("id", "ascending"), ("split", "ascending")])
    pq.write_table(ordered, path, compression="zstd")
