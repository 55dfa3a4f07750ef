"""The order of training rows: a function of (seed, step, global batch, rows) and nothing else.

Guarantee: within an epoch each row comes exactly once; each epoch has its own shuffle; batches continue across the end of an epoch, so none
is short. The number of workers, nodes or loader threads is no input, so it can't change the order. The state of a run is therefore its
seed and its step: resuming needs no saved iterator.
Cost: one sort of `rows` 64-bit keys per epoch (about 0.1 s per million rows), kept for the last two.

The order of rows when sources have weights: a function of (seed, position, phases, rows of each source) and nothing else.

In each phase the sources follow a pattern of 65,536 positions that repeats. A source with c of them takes the positions at which
(j + 1/2) / c, j from 0, sorts among those of all sources: evenly spread, as in stride scheduling (Waldspurger and Weihl 1995).

Guarantee: every source has its own endless epochs, each shuffled anew; within an epoch each of its rows comes once, regardless of the other
sources and weights are. In any interval of a phase, a source of share w among k sources gets its share to within 1 + w k rows, so every
batch is balanced. Any position can be computed directly: resuming needs no saved iterator, only seed and step.
Cost: two sorted orders of rows are kept per source, and 65,536 positions of each phase's pattern.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from data.shards.schema import ShardError
from model.loading.mixture_config import PARTS, MixturePhase, mixture_problem

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


@dataclass(frozen=True)
class PhasePattern:
    """A phase in positions: where it begins and ends, its pattern (ordinals of sources) and each source's positions in the pattern."""

    begin: int
    end: int | None
    pattern: Indices
    positions: tuple[Indices, ...]

    def count_before(self, position: int, source: int) -> int:
        """How many positions of this phase before `position` belong to the source."""
        repeats, rest = divmod(max(0, (position if self.end is None else min(position, self.end)) - self.begin), PARTS)
        return repeats * len(self.positions[source]) + int(np.searchsorted(self.positions[source], rest))


class MixtureOrder:
    """The row at each position."""

    def __init__(self, seed: int, phases: Sequence[MixturePhase], sequences: int, rows: Mapping[str, int]) -> None:
        """`sequences`: in the whole of training. `rows`: of each source, in the order of the shards.

        Raise ShardError if the phases do not fit the shards.
        """
        if problem := mixture_problem(phases, rows):
            raise ShardError(problem)
        self._seed, self._names = seed, tuple(rows)
        self._rows = tuple(rows.values())
        self._firsts: list[int] = np.cumsum([0, *self._rows[:-1]]).tolist()
        ends = [round(phase.until * sequences) for phase in phases[:-1]]
        bounds = zip([0, *ends], [*ends, None], phases, strict=True)
        self._patterns = [_pattern(begin, end, phase, self._names) for begin, end, phase in bounds]
        self._epoch = lru_cache(maxsize=2 * len(rows))(sample_order.__wrapped__)

    def indices(self, position: int, size: int) -> Indices:
        """The rows at `size` positions from `position` (from 0) on; int64 [size]."""
        if size < 1 or position < 0:
            raise ValueError(f"size={size}, position={position}: a batch has at least 1 row, positions count from 0")
        parts = []
        for phase in self._patterns:
            begin, end = max(position, phase.begin), position + size if phase.end is None else min(position + size, phase.end)
            if begin < end:
                which = phase.pattern[np.arange(begin - phase.begin, end - phase.begin) % PARTS]
                rows = np.empty(end - begin, dtype=np.int64)
                for source in np.unique(which).tolist():
                    here = np.flatnonzero(which == source)
                    rows[here] = self._rows_of(source, self.count_before(begin, source) + np.arange(len(here)))
                parts.append(rows)
        return np.concatenate(parts)

    def count_before(self, position: int, source: int) -> int:
        """How many positions before `position` belong to the source."""
        return sum(phase.count_before(position, source) for phase in self._patterns)

    def epochs(self, sequences: int) -> dict[str, float]:
        """How many epochs of each source the first `sequences` positions make."""
        return {
            name: self.count_before(sequences, source) / self._rows[source] for source, name in enumerate(self._names) if self._rows[source]
        }

    def _rows_of(self, source: int, numbers: Indices) -> Indices:
        epochs, within = np.divmod(numbers, self._rows[source])
        rows = np.empty(len(numbers), dtype=np.int64)
        for epoch in np.unique(epochs).tolist():
            same = epochs == epoch
            rows[same] = self._epoch(self._seed, epoch, self._rows[source], self._names[source])[within[same]]
        rows += self._firsts[source]
        return rows


def _pattern(begin: int, end: int | None, phase: MixturePhase, names: Sequence[str]) -> PhasePattern:
    parts = phase.parts()
    counts = [parts.get(name, 0) for name in names]
    times = np.concatenate([(2 * np.arange(count) + 1) / (count or 1) for count in counts])
    pattern = np.repeat(np.arange(len(names)), counts)[np.argsort(times, kind="stable")]
    return PhasePattern(begin, end, pattern, tuple(np.flatnonzero(pattern == source) for source in range(len(names))))
