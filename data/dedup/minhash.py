"""MinHash signatures (Broder 1997) of shingle sets, divided into bands for locality-sensitive hashing.

Each value is the minimum of an affine hash `a * x + b` modulo 2^64 over the set; a band's bucket mixes the band's number with its `rows`
values. Equal sets have equal buckets; sets of Jaccard similarity s share a given bucket with probability s**rows. Costs bands * rows
operations a shingle, vectorized over the documents of a block.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

UInt64s = NDArray[np.uint64]


class MinHash:
    """`bands * rows` hash functions drawn from one seed."""

    def __init__(self, bands: int, rows: int, seed: int) -> None:
        random = np.random.Generator(np.random.PCG64(seed))
        self.bands, self.rows = bands, rows
        shape = bands * rows
        odd = np.uint64(1)
        self._a = random.integers(0, 2**64, shape, dtype=np.uint64) | odd
        self._b = random.integers(0, 2**64, shape, dtype=np.uint64)
        self._mix = random.integers(0, 2**64, (1, rows), dtype=np.uint64) | odd
        self._band = random.integers(0, 2**64, bands, dtype=np.uint64)

    def buckets(self, shingles_S: UInt64s, starts_D: NDArray[np.int64]) -> UInt64s:
        """Return the buckets (documents, bands) of the sets that start at `starts_D` in `shingles_S`; none may be empty."""
        buckets_DB = np.broadcast_to(self._band, (len(starts_D), self.bands)).copy()
        if not len(starts_D):
            return buckets_DB
        hashed_S = np.empty_like(shingles_S)
        for band in range(self.bands):
            for row in range(self.rows):
                k = band * self.rows + row
                np.multiply(shingles_S, self._a[k], out=hashed_S)
                hashed_S += self._b[k]
                least_D = np.minimum.reduceat(hashed_S, starts_D)
                least_D ^= least_D >> np.uint64(29)
                buckets_DB[:, band] += least_D * self._mix[0, row]
        return buckets_DB
