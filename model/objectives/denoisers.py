"""UL2's mixture of denoisers (Tay et al., 2022): each document is corrupted by one of several ways, drawn by their weights.

R, regular: short spans, few tokens. S, sequential: one span at the end, so the network goes on from a text that it reads in both
directions. X, extreme: long spans, or many tokens. With marks a document begins with the mark of its mode, which says what is to come; they
are the network's last sentinels. Everything else is as in `spans`, the guarantee too: which way and which spans follow from (seed, position
of the row) alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from model.objectives.spans import SENTINEL, Ids, Spans, corrupt

MODES = ("R", "S", "X")


class Denoiser(NamedTuple):
    """A way to corrupt a document. mean_length: of the spans, tokens; 0: one at the end. weight: the share of documents, among all."""

    mode: str
    density: float
    mean_length: float
    weight: float


@dataclass(frozen=True)
class Denoisers(Spans):
    """As `Spans`, without its `density` and `mean_length`. marks: sentinels of the network, the last of which are marks; 0: none."""

    ways: tuple[Denoiser, ...] = ()
    marks: int = 0

    def _document(self, tokens: Ids, generator: np.random.Philox) -> tuple[Ids, Ids]:
        """Return what is read of a document, and what is to be written; of a single token nothing."""
        way = chosen(self.ways, float(generator.random_raw()) / 2.0**64)
        read, targets = corrupt(tokens, generator, way.density, way.mean_length, self.most_spans)
        if self.marks:
            read = np.concatenate([[SENTINEL + self.marks - 1 - MODES.index(way.mode)], read])
        return read, targets


def chosen(ways: Sequence[Denoiser], part: float) -> Denoiser:
    """Return the way at this part, from 0 to below 1, of the sum of their weights."""
    ends = np.cumsum([way.weight for way in ways])
    return ways[int(np.searchsorted(ends, part * ends[-1], side="right"))]
