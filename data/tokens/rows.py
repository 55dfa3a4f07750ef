"""Lays token sequences into rows of `sequence_length + 1`: cutting a stream, or keeping each conversation whole.

Both keep neighbours apart: `document` numbers the documents of a row from 0 and padding counts as one of its own.
`loss` marks the tokens that count as targets. The first place of a row is never a target in that row.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.tokens.encoder import Ids
from data.tokens.special import BOS, PAD

Columns = dict[str, NDArray[Any]]
Row = list[tuple[Ids, NDArray[np.bool_]]]  # the sequences of one row, each with the mask of what counts
WINDOW = 1024


def stream_rows(tokens: int, sequence_length: int) -> int:
    """How many rows a stream of that many tokens is cut into."""
    return max(0, -(-(tokens - 1) // sequence_length))


def cut_stream(stream: Ids, count: int, sequence_length: int) -> Columns:
    """The first `count` rows of what begins a row in a stream of documents (each `<|bos|>` text `<|eos|>`), [count, C + 1].

    Rule: row k holds places kC to kC + C, so neighbours share one token: the last target of one row is the first
    input of the next, and every token except the stream's first is a target exactly once. Of those only each
    `<|bos|>` is left out of the loss (what document comes next is not to be learned). The last row is padded.
    """
    width = sequence_length + 1
    part = stream[: count * sequence_length + 1]
    padded = np.full(count * sequence_length + 1, PAD, dtype=stream.dtype)
    padded[: len(part)] = part
    places = np.arange(count)[:, None] * sequence_length + np.arange(width)
    tokens = padded[places]
    starts = tokens == BOS
    pad = tokens == PAD
    loss = ~(starts | pad)
    loss[:, 0] = False
    starts[:, 1:] |= pad[:, 1:] & ~pad[:, :-1]
    starts[:, 0] = False
    document = np.cumsum(starts, axis=1, dtype=np.uint16)
    return {"tokens": tokens, "document": document, "loss": loss}


def best_fit(lengths: Sequence[int], width: int) -> list[list[int]]:
    """Which sequences share a row when none is cut: lists of their numbers, each list at most `width` tokens long.

    Best fit, longest first within each thousand of the order given: a sequence goes into the fullest open row that
    has room. When none has and 1024 are open, the fullest is closed. Every length must be at most `width`.
    """
    closed: list[list[int]] = []
    open_rows: list[tuple[int, int, list[int]]] = []  # (room, serial, numbers), ascending: serial breaks ties
    order = sorted(range(len(lengths)), key=lambda number: (number // WINDOW, -lengths[number], number))
    for serial, number in enumerate(order):
        length = lengths[number]
        place = bisect_right(open_rows, length - 1, key=lambda row: row[0])
        if place < len(open_rows):
            room, age, numbers = open_rows.pop(place)
        else:
            if len(open_rows) == WINDOW:
                closed.append(open_rows.pop(0)[2])
            room, age, numbers = width, serial, []
        numbers.append(number)
        row = (room - length, age, numbers)
        open_rows.insert(bisect_right(open_rows, row[:2], key=lambda other: other[:2]), row)
    return closed + [numbers for _, _, numbers in sorted(open_rows, key=lambda row: row[1])]


def fill_rows(rows: Sequence[Row], width: int, dtype: np.dtype[Any]) -> Columns:
    """Rows of whole sequences, each given as (ids, loss): [len(rows), width], padded with `<|pad|>`."""
    tokens = np.full((len(rows), width), PAD, dtype=dtype)
    document = np.zeros((len(rows), width), dtype=np.uint16)
    loss = np.zeros((len(rows), width), dtype=np.bool_)
    for row, sequences in enumerate(rows):
        place = 0
        for ordinal, (ids, counts) in enumerate(sequences):
            end = place + len(ids)
            tokens[row, place:end] = ids
            document[row, place:end] = ordinal
            loss[row, place:end] = counts
            place = end
        document[row, place:] = len(sequences)
    loss[:, 0] = False
    return {"tokens": tokens, "document": document, "loss": loss}
