"""Runs of words as numbers: every n-gram of every document of a batch at once, over Arrow and numpy.

A word is hashed by DuckDB, a gram is the polynomial of its words' hashes modulo 2^64, rolled along the text (Karp and Rabin 1987) and
stirred. Equal grams have equal numbers; unequal ones collide with a probability of about 2^-64 a pair, so who cuts text compares the
words too. Work goes in blocks of whole documents of about BLOCK words, which fit the processor's cache and run on several threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Unsigned = NDArray[np.uint64]
Places = NDArray[np.int64]
BLOCK = 1 << 16
BASE = 0x9E3779B97F4A7C15
_STIR = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


@dataclass(frozen=True)
class Hashed:
    """Word hashes of documents one after the other; document d has those from `starts_D[d]` to `starts_D[d + 1]`."""

    hashes_W: Unsigned
    starts_D: Places

    @staticmethod
    def of(column: pa.ChunkedArray[Any]) -> Hashed:
        """From a column of lists of hashes."""
        lists: Any = column.combine_chunks()
        starts_D = lists.offsets.to_numpy().astype(np.int64)
        return Hashed(lists.values.to_numpy()[starts_D[0] : starts_D[-1]], starts_D - starts_D[0])

    def blocks(self) -> Iterator[tuple[slice, Hashed]]:
        """Whole documents of about BLOCK words together, and which they are."""
        first, count = 0, len(self.starts_D) - 1
        while first < count:
            last = max(first + 1, int(np.searchsorted(self.starts_D, self.starts_D[first] + BLOCK, side="right")) - 1)
            starts_D = self.starts_D[first : last + 1]
            yield slice(first, last), Hashed(self.hashes_W[starts_D[0] : starts_D[-1]], starts_D - starts_D[0])
            first = last


def grams(words: Hashed, size: int) -> Hashed:
    """The numbers of all runs of `size` words of each document, in order; a document shorter than that is one gram, an empty one none."""
    count = len(words.hashes_W)
    lengths_D = np.diff(words.starts_D)
    up, down = _powers(count)
    sums = np.zeros(count + 1, np.uint64)
    np.cumsum(words.hashes_W * down, out=sums[1:])
    short_D = np.flatnonzero((lengths_D > 0) & (lengths_D < size))
    counts_D = np.maximum(lengths_D - size + 1, 0)
    counts_D[short_D] = 1
    starts_D = np.concatenate(([0], np.cumsum(counts_D)))
    first_G = np.arange(starts_D[-1]) + np.repeat(words.starts_D[:-1] - starts_D[:-1], counts_D)
    end_G = first_G + size
    end_G[starts_D[short_D]] = words.starts_D[short_D + 1]
    return Hashed(stirred((sums[end_G] - sums[first_G]) * up[first_G] + (end_G - first_G).astype(np.uint64)), starts_D)


def stirred(values: Unsigned) -> Unsigned:
    """A bijection of 64-bit numbers after which every bit depends on all (the finalizer of SplitMix64; Steele, Lea and Flood 2014)."""
    values ^= values >> np.uint64(30)
    values *= _STIR[0]
    values ^= values >> np.uint64(27)
    values *= _STIR[1]
    values ^= values >> np.uint64(31)
    return values


def winnowed(marks: Hashed, window: int) -> NDArray[np.bool_]:
    """Which grams are the least of some `window` in a row of their document (winnowing; Schleimer, Wilkerson and Aiken 2003).

    Guarantee: two documents with `window` equal grams in a row share a chosen one there. About 2 of `window` + 1 are chosen.
    """
    marks_G = marks.hashes_W
    if len(marks_G) < window:
        return np.zeros(len(marks_G), bool)
    least_G = _sliding(marks_G, window, np.minimum)
    end_G = np.repeat(marks.starts_D[1:], np.diff(marks.starts_D))[: len(least_G)]
    least_G[np.arange(window, window + len(least_G)) > end_G] = 0  # a window over two documents chooses nothing
    edge = np.zeros(window - 1, np.uint64)
    chosen_G: NDArray[np.bool_] = _sliding(np.concatenate((edge, least_G, edge)), window, np.maximum) == marks_G
    return chosen_G


def _sliding(values: Unsigned, window: int, best: np.ufunc) -> Unsigned:
    """The best of every `window` values in a row, by doubling: about log2(window) passes."""
    width = 1
    while width * 2 <= window:
        values = best(values[:-width], values[width:])
        width *= 2
    rest = window - width
    return best(values[: len(values) - rest], values[rest:]) if rest else values


def _powers(count: int) -> tuple[Unsigned, Unsigned]:
    """BASE to the power of 0, 1, ... and its inverse modulo 2^64 to the same powers."""
    up, down = (np.full(count, base, np.uint64) for base in (BASE, pow(BASE, -1, 1 << 64)))
    if count:
        up[0] = down[0] = 1
    return np.cumprod(up, dtype=np.uint64), np.cumprod(down, dtype=np.uint64)
