"""Sums over the workers of numbers that the host has and needs: units of a batch, statistics, flags. The device takes no part."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import torch
from torch import distributed


class HostExchange:
    """A process group on CPUs: a second group where the workers' own uses accelerators."""

    def __init__(self, world_size: int, meet_seconds: float) -> None:
        """A collective. `meet_seconds`: the longest wait for the other workers."""
        self._alone = world_size == 1
        self._group = None
        if not self._alone and distributed.get_backend() != "gloo":
            self._group = distributed.new_group(backend="gloo", timeout=timedelta(seconds=meet_seconds))

    def sum(self, numbers: Sequence[float]) -> list[float]:
        """Return the sum over all workers of each number, in double precision. A collective."""
        if self._alone:
            return [float(number) for number in numbers]
        shared = torch.tensor(numbers, dtype=torch.float64)
        distributed.all_reduce(shared, group=self._group)
        summed: list[float] = shared.tolist()
        return summed
