"""The model being trained, as rollouts use it: each worker samples its share of the replies, and all get all of them.

Guarantee: what a prompt and its seed give does not depend on the number of workers or the ZeRO stage, up to rounding.
Cost: where weights are sharded (ZeRO 3, tensor parallelism) they are gathered once for a rollout, so a whole model must fit in addition.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, distributed

from model.inference.config import SamplingConfig
from model.inference.generation import Completion, sample_batch
from model.training.distributed import HostExchange
from model.training.engine import Engine
from model.training.parallel.engines import AnyEngine


class TrainedPolicy:
    """The policy of one worker. Every method is a collective."""

    def __init__(self, engine: AnyEngine, device: torch.device, exchange: HostExchange) -> None:
        """`exchange`: where workers wait for the one that writes."""
        self._engine, self._device, self._exchange = engine, device, exchange

    @property
    def is_first(self) -> bool:
        """Whether this is the one worker that writes."""
        return self._engine.worker.is_first

    def sample(
        self, prompts: Sequence[Sequence[int]], seeds: Sequence[int], config: SamplingConfig, stop_ids: frozenset[int]
    ) -> list[Completion]:
        """Return a completion of each prompt, in order, on every worker."""
        engine = self._engine
        if not isinstance(engine, Engine):
            raise TypeError("a pipeline has no whole model to sample from")  # the job refuses it before
        shares = [range(len(prompts))[number :: engine.data_workers] for number in range(engine.data_workers)]
        mine = shares[engine.data_rank]
        # In fp32 even if training uses another precision, as the released model will generate.
        with engine.whole_network() as network, torch.autocast(self._device.type, enabled=False):
            completions = sample_batch(network.decoding(), [prompts[n] for n in mine], [seeds[n] for n in mine], config, stop_ids)
        if engine.worker.world_size == 1:
            return completions
        parts = self._gather(pack(completions, len(shares[0]), config.max_new_tokens))
        found: dict[int, Completion] = {}
        for share, part in zip(shares, parts, strict=True):
            found |= zip(share, unpack(part[: len(share)], stop_ids), strict=True)
        return [found[number] for number in range(len(prompts))]

    def cached(self, batches: Iterable[tuple[Sequence[int], Mapping[str, Tensor]]], rows: int, columns: int) -> NDArray[Any]:
        """Return what the objective's `cache` says of all rows, fp64 [rows, columns], on every worker."""
        engine = self._engine
        if not isinstance(engine, Engine):
            raise TypeError("a pipeline has no whole model to ask")  # the job refuses it before
        found = torch.zeros((rows, columns), dtype=torch.float64)
        for numbers, batch in batches:
            values = engine.forward(batch, "cache")
            if numbers:
                found[list(numbers)] = values.double().cpu()
        return engine.sum(found).cpu().numpy()

    def wait(self) -> None:
        """Wait until all workers have come here, however long one of them writes."""
        self._exchange.wait_for_writer()

    def _gather(self, mine: Tensor) -> list[Tensor]:
        """Return the tensor of each share of the data, in order, on the CPU."""
        world = self._engine.worker.world_size
        sent = mine.to(self._device)  # NCCL takes no CPU tensors
        parts = [torch.empty_like(sent) for _ in range(world)]
        distributed.all_gather(parts, sent)
        return [part.cpu() for part in parts[:: world // self._engine.data_workers]]


def pack(completions: Sequence[Completion], rows: int, longest: int) -> Tensor:
    """Return completions as numbers, fp64 [rows, 1 + 2 * longest], which holds all of them exactly: length, tokens, log-probabilities."""
    packed = torch.zeros((rows, 1 + 2 * longest), dtype=torch.float64)
    for row, completion in enumerate(completions):
        length = len(completion.tokens)
        packed[row, 0] = length
        packed[row, 1 : 1 + length] = torch.tensor(completion.tokens, dtype=torch.float64)
        packed[row, 1 + longest : 1 + longest + length] = torch.tensor(completion.log_probabilities, dtype=torch.float64)
    return packed


def unpack(packed: Tensor, stop_ids: frozenset[int]) -> list[Completion]:
    """Return the completions that `pack` was given."""
    longest = (packed.shape[1] - 1) // 2
    found = []
    for row in packed:
        length = int(row[0])
        tokens = row[1 : 1 + length].long().tolist()
        found.append(Completion(tokens, row[1 + longest : 1 + longest + length].tolist(), tokens[-1] in stop_ids))
    return found
