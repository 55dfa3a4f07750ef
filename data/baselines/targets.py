"""The targets of packed rows with the tokens before them, as whole arrays.

Only tokens of the same row and document count, as a model with attention within documents sees them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.shards.reader import ShardReader

Numbers = NDArray[np.integer[Any]]
ROWS_AT_ONCE = 16_384


@dataclass(frozen=True)
class Targets:
    """Targets in the order of their rows.

    `tokens`: all tokens of the rows, flat. `at`: where each target stands in it. `before`: how many tokens of its document precede each
    target in its row. `row`: the row of each target, from 0. `rows`: their number.
    """

    tokens: Numbers
    at: Numbers
    before: Numbers
    row: Numbers
    rows: int

    @property
    def ids(self) -> Numbers:
        """The targets' own tokens."""
        return self.tokens[self.at]

    def preceding(self, distance: int, absent: int) -> Numbers:
        """Return the token `distance` before each target, or `absent` where its document does not reach that far back; int64."""
        found = np.full(len(self.at), absent, dtype=np.int64)
        reaches = self.before >= distance
        found[reaches] = self.tokens[self.at[reaches] - distance]
        return found


def targets_of(tokens_RW: Numbers, document_RW: Numbers, loss_RW: NDArray[np.bool_]) -> Targets:
    """Return the targets of rows, each array [rows, positions]."""
    rows, width = tokens_RW.shape
    position = np.arange(rows * width, dtype=np.int64)
    begins = np.ones((rows, width), dtype=np.bool_)
    begins[:, 1:] = document_RW[:, 1:] != document_RW[:, :-1]
    first = np.maximum.accumulate(np.where(begins.reshape(-1), position, 0))
    at = np.flatnonzero(loss_RW)
    return Targets(tokens_RW.reshape(-1).astype(np.int32), at, (at - first[at]).astype(np.int32), (at // width).astype(np.int32), rows)


def read_targets(reader: ShardReader, rows: Numbers) -> Targets:
    """Return the targets of these rows of a split."""
    parts = []
    for start in range(0, len(rows), ROWS_AT_ONCE):
        read = reader.rows(rows[start : start + ROWS_AT_ONCE])
        parts.append(targets_of(read["tokens"], read["document"], read["loss"]))
    return joined(parts)


def joined(parts: Sequence[Targets]) -> Targets:
    """Return the targets of all parts, one after the other, with rows and positions numbered through."""
    if len(parts) == 1:
        return parts[0]
    offsets = np.cumsum([0, *(len(part.tokens) for part in parts[:-1])])
    rows = np.cumsum([0, *(part.rows for part in parts[:-1])])
    return Targets(
        np.concatenate([part.tokens for part in parts]),
        np.concatenate([part.at + offset for part, offset in zip(parts, offsets, strict=True)]),
        np.concatenate([part.before for part in parts]),
        np.concatenate([part.row + first for part, first in zip(parts, rows, strict=True)]),
        sum(part.rows for part in parts),
    )
