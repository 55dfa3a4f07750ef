"""Hashes of n-grams: every n-gram of every document of a batch at once, over Arrow and numpy.

DuckDB hashes words. The hash of an n-gram is the polynomial of its word hashes modulo 2^64, rolled along the text (Karp and Rabin 1987) and
mixed. Equal n-grams have equal hashes; different ones collide with a probability of about 2^-64 a pair, so compare the words as well before
cutting text. Work is done in blocks of whole documents of about BLOCK words, which fit the processor's cache and run on several threads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

UInt64s = NDArray[np.uint64]
Int64s = NDArray[np.int64]
BLOCK = 1 << 16
BASE = 0x9E3779B97F4A7C15
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


@dataclass(frozen=True)
class HashLists:
    """The hashes of several documents, concatenated: document d has `starts_D[d]` to `starts_D[d + 1]`."""

    hashes_W: UInt64s
    starts_D: Int64s

    @classmethod
    def from_column(cls, column: pa.ChunkedArray[Any]) -> HashLists:
        """Read a column of lists of hashes."""
        lists: Any = column.combine_chunks()
        starts_D = lists.offsets.to_numpy().astype(np.int64)
        return cls(lists.values.to_numpy()[starts_D[0] : starts_D[-1]], starts_D - starts_D[0])

    def blocks(self) -> Iterator[tuple[slice, HashLists]]:
        """Yield blocks of whole documents of about BLOCK words together, each with the slice of documents that it covers."""
        first, count = 0, len(self.starts_D) - 1
        while first < count:
            last = max(first + 1, int(np.searchsorted(self.starts_D, self.starts_D[first] + BLOCK, side="right")) - 1)
            starts_D = self.starts_D[first : last + 1]
            yield slice(first, last), HashLists(self.hashes_W[starts_D[0] : starts_D[-1]], starts_D - starts_D[0])
            first = last


def grams(words: HashLists, size: int) -> HashLists:
    """Hash all runs of `size` words of each document, in order. A document shorter than that is one n-gram, an empty one none."""
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
    return HashLists(mix64((sums[end_G] - sums[first_G]) * up[first_G] + (end_G - first_G).astype(np.uint64)), starts_D)


def mix64(values: UInt64s) -> UInt64s:
    """Mix 64-bit numbers by a bijection in which every bit depends on all others (SplitMix64's finalizer; Steele, Lea and Flood 2014).

    Changes `values` in place and returns it.
    """
    values ^= values >> np.uint64(30)
    values *= _MIX[0]
    values ^= values >> np.uint64(27)
    values *= _MIX[1]
    values ^= values >> np.uint64(31)
    return values


def winnow(windows: HashLists, window: int) -> NDArray[np.bool_]:
    """Select the n-grams that are the minimum of any `window` consecutive ones of their document.

    Winnowing (Schleimer, Wilkerson and Aiken 2003): two documents that share `window` consecutive n-grams select the same one there. About
    2 of `window` + 1 n-grams are selected.
    """
    hashes_G = windows.hashes_W
    if len(hashes_G) < window:
        return np.zeros(len(hashes_G), bool)
    least_G = _sliding(hashes_G, window, np.minimum)
    end_G = np.repeat(windows.starts_D[1:], np.diff(windows.starts_D))[: len(least_G)]
    least_G[np.arange(window, window + len(least_G)) > end_G] = 0  # a window across two documents selects nothing
    edge = np.zeros(window - 1, np.uint64)
    chosen_G: NDArray[np.bool_] = _sliding(np.concatenate((edge, least_G, edge)), window, np.maximum) == hashes_G
    return chosen_G


def _sliding(values: UInt64s, window: int, best: np.ufunc) -> UInt64s:
    """Return the best of every `window` consecutive values, by doubling: about log2(window) passes."""
    width = 1
    while width * 2 <= window:
        values = best(values[:-width], values[width:])
        width *= 2
    rest = window - width
    return best(values[: len(values) - rest], values[rest:]) if rest else values


def _powers(count: int) -> tuple[UInt64s, UInt64s]:
    """Return the first `count` powers of BASE modulo 2^64, and of its inverse."""
    up, down = (np.full(count, base, np.uint64) for base in (BASE, pow(BASE, -1, 1 << 64)))
    if count:
        up[0] = down[0] = 1
    return np.cumprod(up, dtype=np.uint64), np.cumprod(down, dtype=np.uint64)
