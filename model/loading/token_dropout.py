"""Token dropout: hide some input tokens in training, so a network does not rely on any single one (Gal and Ghahramani 2016).

A hidden token is read as `<|pad|>` and is still predicted. Which tokens are hidden follows from (seed, position of the row) alone: the same
on any number of workers and in a resumed run, and new in each epoch. Validation rows are never touched.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.inputs.columns import OWN
from model.loading.order import Indices
from model.objectives.next_token import DROPPED
from model.objectives.protocol import Rows


@dataclass(frozen=True)
class TokenDropout:
    """Hides each input token with probability `share`."""

    share: float
    seed: int

    def __call__(self, rows: Rows, positions: Indices) -> Rows:
        """Return the rows with the flags `dropped` [B, C + 1]; what else is read at a hidden token, such as its spelling, is zero."""
        tokens = rows["tokens"]
        dropped = np.zeros(tokens.shape, dtype=np.bool_)
        for row, position in enumerate(positions.tolist()):
            # Raw draws of Philox, which NumPy promises never to change; its key holds exactly the two numbers.
            drawn = np.random.Philox(key=np.array([self.seed, position], dtype=np.uint64)).random_raw(tokens.shape[1])
            dropped[row] = drawn / 2.0**64 < self.share
        beside = {name: values.copy() for name, values in rows.items() if name not in OWN and values.shape[:2] == tokens.shape}
        for values in beside.values():
            values[dropped] = 0
        return {**rows, **beside, DROPPED: dropped}
