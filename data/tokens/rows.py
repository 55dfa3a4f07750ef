"""Fills rows of `sequence_length + 1` tokens: by cutting a stream, or from whole sequences.

Both keep neighbours apart: `document` numbers the documents of a row from 0, and padding counts as one of its own. `loss` marks the tokens
that count as targets. The first token of a row is never a target in that row.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.tokens.special import BOS, PAD

Ids = NDArray[Any]
Columns = dict[str, NDArray[Any]]
Row = list[tuple[Ids, NDArray[np.bool_]]]  # the sequences of one row, each with its loss mask
WINDOW = 1024


def stream_rows(tokens: int, sequence_length: int) -> int:
    """Return the number of rows that a stream of `tokens` tokens is cut into."""
    return max(0, -(-(tokens - 1) // sequence_length))


def cut_stream(stream: Ids, count: int, sequence_length: int, starts: NDArray[np.bool_] | None = None, pad: int = PAD) -> Columns:
    """Cut `count` rows, [count, C + 1], from a stream of documents (each `<|bos|>` text `<|eos|>`) that starts at the beginning of a row.

    `starts`: where documents begin, for a tokenizer whose first and last token may be one; None: where `<|bos|>` stands.

    Row k holds tokens kC to kC + C, so neighbours share one token: the last target of one row is the first input of the next, and every
    token except the stream's first is a target exactly once. Only each `<|bos|>` is excluded from the loss, since a model shouldn't learn
    which document comes next. The last row is padded.
    """
    width = sequence_length + 1
    part = stream[: count * sequence_length + 1]
    padded = np.full(count * sequence_length + 1, pad, dtype=stream.dtype)
    padded[: len(part)] = part
    begins = np.zeros(len(padded), dtype=np.bool_)
    begins[: len(part)] = part == BOS if starts is None else starts[: len(part)]
    positions = np.arange(count)[:, None] * sequence_length + np.arange(width)
    tokens, begun, unfilled = padded[positions], begins[positions], positions >= len(part)
    loss = ~(begun | unfilled)
    loss[:, 0] = False
    begun[:, 1:] |= unfilled[:, 1:] & ~unfilled[:, :-1]
    begun[:, 0] = False
    document = np.cumsum(begun, axis=1, dtype=np.uint16)
    return {"tokens": tokens, "document": document, "loss": loss}


def best_fit(lengths: Sequence[int], width: int) -> list[list[int]]:
    """Assign whole sequences to rows of at most `width` tokens; return the numbers of the sequences of each row.

    Best fit, longest first within each thousand sequences: a sequence goes into the fullest open row that has room. If none has and 1024
    are open, the fullest is closed. Every length must be at most `width`.
    """
    closed: list[list[int]] = []
    open_rows: list[tuple[int, int, list[int]]] = []  # (room, serial, numbers), ascending: serial breaks ties
    order = sorted(range(len(lengths)), key=lambda number: (number // WINDOW, -lengths[number], number))
    for serial, number in enumerate(order):
        length = lengths[number]
        index = bisect_right(open_rows, length - 1, key=lambda row: row[0])
        if index < len(open_rows):
            room, age, numbers = open_rows.pop(index)
        else:
            if len(open_rows) == WINDOW:
                closed.append(open_rows.pop(0)[2])
            room, age, numbers = width, serial, []
        numbers.append(number)
        row = (room - length, age, numbers)
        open_rows.insert(bisect_right(open_rows, row[:2], key=lambda other: other[:2]), row)
    return closed + [numbers for _, _, numbers in sorted(open_rows, key=lambda row: row[1])]


def fill_rows(rows: Sequence[Row], width: int, dtype: np.dtype[Any], pad: int = PAD) -> Columns:
    """Fill rows with whole sequences, each given as (ids, loss): [len(rows), width], padded with `pad`."""
    tokens = np.full((len(rows), width), pad, dtype=dtype)
    document = np.zeros((len(rows), width), dtype=np.uint16)
    loss = np.zeros((len(rows), width), dtype=np.bool_)
    for row, sequences in enumerate(rows):
        start = 0
        for ordinal, (ids, counts) in enumerate(sequences):
            end = start + len(ids)
            tokens[row, start:end] = ids
            document[row, start:end] = ordinal
            loss[row, start:end] = counts
            start = end
        document[row, start:] = len(sequences)
    loss[:, 0] = False
    return {"tokens": tokens, "document": document, "loss": loss}
