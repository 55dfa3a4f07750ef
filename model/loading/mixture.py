"""The order of rows when sources have weights: a function of (seed, place, phases, rows of each source) and nothing else.

Guarantee: every source has endless epochs of its own, each shuffled anew; within an epoch of a source each of its rows comes once,
whatever the other sources and their weights are. In any stretch of a phase a source of share w among k sources has its share to
within 1 + w k rows, so no batch leans. Any place is found at once: resuming needs no saved iterator, and the state is seed and step.
Cost: two sorted orders of rows are kept for each source, and 65,536 places of each phase's pattern.
When it can't: shards whose rows mix sources, a source without rows and one that no phase names raise JobError.

Rule: in a phase the sources follow a pattern of 65,536 places that repeats. A source with c of them stands at the sorted order of
(j + 1/2) / c among all, j from 0: evenly spread, as in stride scheduling (Waldspurger and Weihl 1995).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from model.loading.mixture_config import PARTS, MixturePhase, mixture_problem
from model.loading.order import Indices, sample_order
from model.loading.shards import ShardError


@dataclass(frozen=True)
class Stretch:
    """A phase in places: where it begins and ends, its pattern (ordinals of sources) and where each source stands in it."""

    begin: int
    end: int | None
    pattern: Indices
    stands: tuple[Indices, ...]

    def taken(self, place: int, source: int) -> int:
        """How many places of this phase before `place` the source has."""
        rounds, rest = divmod(max(0, (place if self.end is None else min(place, self.end)) - self.begin), PARTS)
        return rounds * len(self.stands[source]) + int(np.searchsorted(self.stands[source], rest))


class MixtureOrder:
    """Which row each place takes."""

    def __init__(self, seed: int, phases: Sequence[MixturePhase], places: int, rows: Mapping[str, int]) -> None:
        """`places`: sequences in the whole of training. `rows`: of each source, in the order in which they lie."""
        if fault := mixture_problem(phases, rows):
            raise ShardError(fault)
        self._seed, self._names = seed, tuple(rows)
        self._rows = tuple(rows.values())
        self._firsts: list[int] = np.cumsum([0, *self._rows[:-1]]).tolist()
        ends = [round(phase.until * places) for phase in phases[:-1]]
        bounds = zip([0, *ends], [*ends, None], phases, strict=True)
        self._stretches = [_stretch(begin, end, phase, self._names) for begin, end, phase in bounds]
        self._epoch = lru_cache(maxsize=2 * len(rows))(sample_order.__wrapped__)

    def indices(self, place: int, size: int) -> Indices:
        """The rows at `size` places from `place` (from 0) on; int64 [size]."""
        if size < 1 or place < 0:
            raise ValueError(f"size={size}, place={place}: a batch has 1 row or more, places count from 0")
        parts = []
        for stretch in self._stretches:
            begin, end = max(place, stretch.begin), place + size if stretch.end is None else min(place + size, stretch.end)
            if begin < end:
                which = stretch.pattern[np.arange(begin - stretch.begin, end - stretch.begin) % PARTS]
                rows = np.empty(end - begin, dtype=np.int64)
                for source in np.unique(which).tolist():
                    here = np.flatnonzero(which == source)
                    rows[here] = self._of_source(source, self.taken(begin, source) + np.arange(len(here)))
                parts.append(rows)
        return np.concatenate(parts)

    def taken(self, place: int, source: int) -> int:
        """How many places before `place` the source has."""
        return sum(stretch.taken(place, source) for stretch in self._stretches)

    def epochs(self, places: int) -> dict[str, float]:
        """How often each source comes round in the first `places` places."""
        return {name: self.taken(places, source) / self._rows[source] for source, name in enumerate(self._names) if self._rows[source]}

    def _of_source(self, source: int, numbers: Indices) -> Indices:
        epochs, within = np.divmod(numbers, self._rows[source])
        rows = np.empty(len(numbers), dtype=np.int64)
        for epoch in np.unique(epochs).tolist():
            same = epochs == epoch
            rows[same] = self._epoch(self._seed, epoch, self._rows[source], self._names[source])[within[same]]
        rows += self._firsts[source]
        return rows


def _stretch(begin: int, end: int | None, phase: MixturePhase, names: Sequence[str]) -> Stretch:
    parts = phase.parts()
    counts = [parts.get(name, 0) for name in names]
    times = np.concatenate([(2 * np.arange(count) + 1) / (count or 1) for count in counts])
    pattern = np.repeat(np.arange(len(names)), counts)[np.argsort(times, kind="stable")]
    return Stretch(begin, end, pattern, tuple(np.flatnonzero(pattern == source) for source in range(len(names))))
