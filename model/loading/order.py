"""The order in which rows are trained on: a function of (seed, step, global batch, rows) and nothing else.

Guarantee: within an epoch each row comes exactly once; each epoch has its own shuffle; batches run on across the
end of an epoch, so none is short. The number of workers, nodes or loader threads is no argument here, so it cannot
move a sample. The state of a run is therefore its seed and its step: resuming needs no saved iterator.
Cost: one sort of `rows` 64-bit keys an epoch (about 0.1 s a million rows), kept for the latest two.
When it can't: impossible sizes raise ValueError with the value that is wrong.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


@lru_cache(maxsize=2)
def sample_order(seed: int, epoch: int, rows: int, source: str = "") -> Indices:
    """The permutation of `range(rows)` that epoch number `epoch` (from 0) follows; int64 [rows], read-only.

    `source`: whose rows these are, where sources are ordered apart; each has its own shuffle.

    Rows are sorted by raw Philox draws. NumPy promises that raw draws never change between its versions, which it
    does not promise of `Generator.permutation`: an upgrade in the middle of a long run must not reshuffle it.
    """
    if rows < 1:
        raise ValueError(f"rows={rows}: there is nothing to order; the shards hold no rows")
    if seed < 0 or epoch < 0:
        raise ValueError(f"seed={seed}, epoch={epoch}: both must be 0 or more")
    name = [int.from_bytes(hashlib.sha256(source.encode()).digest()[:8], "big")] if source else []
    keys = np.random.Philox(np.random.SeedSequence([seed, epoch, *name])).random_raw(rows)
    order = np.argsort(keys, kind="stable").astype(np.int64, copy=False)
    order.flags.writeable = False
    return order


def batch_indices(seed: int, place: int, size: int, rows: int) -> Indices:
    """The `size` rows from `place` (from 0) on in the endless sequence epoch 0, epoch 1, ...; int64 [size].

    A step's place is the sum of the batches before it. When there are fewer rows than a batch has places, one batch holds
    several whole epochs.
    """
    if size < 1 or place < 0:
        raise ValueError(f"size={size}, place={place}: a batch has 1 row or more, places count from 0")
    end = place + size
    parts: list[Indices] = []
    while place < end:
        epoch, start = divmod(place, rows) if rows else (0, 0)
        part = sample_order(seed, epoch, rows)[start : start + end - place]
        parts.append(part)
        place += len(part)
    return np.concatenate(parts)


def rank_share(indices: Indices, rank: int, world: int) -> Indices:
    """The contiguous part of a global batch that is worker `rank`'s of `world`; in rank order they are the batch."""
    if not 0 <= rank < world:
        raise ValueError(f"rank={rank} is outside the {world} workers")
    if len(indices) % world:
        raise ValueError(
            f"global_batch={len(indices)} does not divide among {world} workers; choose a global batch that is a multiple of {world}"
        )
    share = len(indices) // world
    return indices[rank * share : (rank + 1) * share]
