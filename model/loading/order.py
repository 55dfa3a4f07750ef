"""The order of training rows: a function of (seed, step, global batch, rows) and nothing else.

Guarantee: within an epoch each row comes exactly once; each epoch has its own shuffle; batches continue across the end of an epoch, so none
is short. The number of workers, nodes or loader threads is no input, so it can't change the order. The state of a run is therefore its
seed and its step: resuming needs no saved iterator.
Cost: one sort of `rows` 64-bit keys per epoch (about 0.1 s per million rows), kept for the last two.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


@lru_cache(maxsize=2)
def sample_order(seed: int, epoch: int, rows: int, source: str = "") -> Indices:
    """Return the order of `range(rows)` in epoch number `epoch` (from 0); int64 [rows], read-only.

    `source`: the source of these rows, where each source is shuffled separately.
    """
    if rows < 1:
        raise ValueError(f"rows={rows}: the shards hold no rows, so there is nothing to order")
    if seed < 0 or epoch < 0:
        raise ValueError(f"seed={seed}, epoch={epoch}: both must be 0 or more")
    name = [int.from_bytes(hashlib.sha256(source.encode()).digest()[:8], "big")] if source else []
    # Rows are sorted by raw Philox draws: NumPy promises that these never change between its versions, which it does not promise of
    # `Generator.permutation`. An upgrade in the middle of a long run must not reshuffle it.
    keys = np.random.Philox(np.random.SeedSequence([seed, epoch, *name])).random_raw(rows)
    order = np.argsort(keys, kind="stable").astype(np.int64, copy=False)
    order.flags.writeable = False
    return order


def batch_indices(seed: int, position: int, size: int, rows: int) -> Indices:
    """Return `size` rows from `position` (from 0) on in the endless sequence epoch 0, epoch 1, ...; int64 [size].

    A step's position is the sum of the batches before it. A batch larger than an epoch holds rows more than once.
    """
    if size < 1 or position < 0:
        raise ValueError(f"size={size}, position={position}: a batch has at least 1 row, positions count from 0")
    end = position + size
    parts: list[Indices] = []
    while position < end:
        epoch, start = divmod(position, rows) if rows else (0, 0)
        part = sample_order(seed, epoch, rows)[start : start + end - position]
        parts.append(part)
        position += len(part)
    return np.concatenate(parts)


def rank_share(indices: Indices, rank: int, world: int) -> Indices:
    """Return the contiguous part of a global batch that worker `rank` of `world` computes; in rank order the parts make the batch."""
    if not 0 <= rank < world:
        raise ValueError(f"rank={rank} is outside the {world} workers")
    if len(indices) % world:
        raise ValueError(
            f"global_batch={len(indices)} does not divide among {world} workers; choose a global batch that is a multiple of {world}"
        )
    share = len(indices) // world
    return indices[rank * share : (rank + 1) * share]
