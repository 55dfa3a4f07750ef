"""A policy for the tests of rollouts: a network on a single worker."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray
from torch import Tensor

from model.inference.config import SamplingConfig
from model.inference.generation import Completion, sample_batch
from model.networks.network import Network


class OneWorker:
    """Counts how often it was asked to sample; `killed_in`: the call that never ends."""

    is_first = True

    def __init__(self, network: Network, killed_in: int = 0) -> None:
        self.network, self.killed_in, self.calls = network, killed_in, 0

    def sample(
        self, prompts: Sequence[Sequence[int]], seeds: Sequence[int], config: SamplingConfig, stop_ids: frozenset[int]
    ) -> list[Completion]:
        self.calls += 1
        if self.calls == self.killed_in:
            raise KeyboardInterrupt
        return sample_batch(self.network.decoding(), prompts, seeds, config, stop_ids)

    def cached(self, batches: Iterable[tuple[Sequence[int], Mapping[str, Tensor]]], rows: int, columns: int) -> NDArray[Any]:
        raise NotImplementedError("what these tests roll out for caches nothing")

    def wait(self) -> None:
        pass
