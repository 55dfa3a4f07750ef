"""From packed shards to a worker's micro-batches, and to the validation rows.

The rows of a step come from (seed, step, global batch, mixture) alone; a worker takes its contiguous share and cuts it into
micro-batches. All of a step's rows are read before the first is computed, because the loss is divided by what the whole global
batch holds. Threads read the coming steps while one is computed; their number changes no row.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from model.loading.mixture import order_of
from model.loading.order import batch_indices, rank_share
from model.loading.passages import draw_passages
from model.loading.prefetch import Ahead
from model.loading.shards import ShardReader
from model.objectives.objective import Objective, Rows
from model.training.job import Job, JobError
from model.training.launch.distributed import Place

Batch = dict[str, Tensor]


def open_shards(directory: Path, job: Job, objective: Objective) -> ShardReader:
    """The reader, once the shards are what the job says: kind, tokenizer, vocabulary and length of rows."""
    reader = ShardReader(directory)
    metadata = reader.metadata
    reader.expect(job.tokenizer_digest, job.vocab_size)
    if metadata.kind not in objective.shard_kinds:
        raise JobError(f"{directory} holds {metadata.kind} rows; {job.train.objective} reads {objective.shard_kinds}")
    if metadata.sequence_length > job.decoder.context:
        raise JobError(f"{directory} has rows of {metadata.sequence_length} tokens, the decoder's context is {job.decoder.context}")
    if not len(reader):
        raise JobError(f"{directory} has no rows: there is nothing to learn from; look at what packing left out")
    return reader


class Batches:
    """The training rows of one worker."""

    def __init__(self, job: Job, objective: Objective, place: Place, device: torch.device) -> None:
        self._job, self._objective, self._place, self._device = job, objective, place, device
        self._train = open_shards(job.train_shards, job, objective)
        self._val = open_shards(job.val_shards, job, objective) if job.val_shards and job.train.eval_rows else None
        self._mixture = order_of(job, self._train.metadata)
        self._ahead = Ahead(self._read, job.resources.loader_threads)

    def step(self, update: int, moved: int = 0) -> tuple[int, list[Batch]]:
        """Units of this worker in update number `update` (from 0), and its micro-batches.

        `moved`: rows of the order left out before it. While the caller computes, threads read what comes next, if nothing is skipped.
        """
        train = self._job.train
        begin = train.place_of(update) + moved
        key, coming = (begin, train.batch_at(update)), []
        for later in range(update + 1, min(update + 1 + self._job.resources.loader_threads, self._job.total_steps)):
            begin += train.batch_at(later - 1)
            coming.append((begin, train.batch_at(later)))
        return self._ahead.get(key, coming)

    def _read(self, wanted: tuple[int, int]) -> tuple[int, list[Batch]]:
        """The units and micro-batches of this worker in the batch that begins at `wanted[0]` and has `wanted[1]` rows."""
        batch = self._mixture.indices(*wanted) if self._mixture else batch_indices(self._job.seed, *wanted, len(self._train))
        indices = rank_share(batch, self._place.rank, self._place.world)
        rows, size = self._train.rows(indices), self._job.micro_batch
        parts = ({name: column[start : start + size] for name, column in rows.items()} for start in range(0, len(indices), size))
        return self._objective.units(rows), [self._tensors(part) for part in parts]

    def validation(self) -> Iterator[tuple[int, Batch]]:
        """(units, batch) over the validation rows that this worker measures; units 0: compute it, count it not.

        Every worker gets equally many, because under ZeRO 3 each forward pass is a meeting of all.
        """
        if self._val is None:
            return
        wanted = min(self._job.train.eval_rows, len(self._val))
        indices = np.unique(np.linspace(0, len(self._val) - 1, wanted).round().astype(np.int64))
        size, world = self._job.micro_batch, self._place.world
        for start in range(0, len(indices), size * world):
            mine = indices[start + self._place.rank * size : start + (self._place.rank + 1) * size]
            rows = self._val.rows(mine if len(mine) else indices[:1])
            yield (self._objective.units(rows) if len(mine) else 0), self._tensors(rows)

    def recitals(self, passages: int, copy_tokens: int) -> Iterator[tuple[int, Batch]]:
        """(passages, batch) of training text for `Reciting`; every worker gets equally many."""
        size, place = self._job.micro_batch, self._place
        drawn = draw_passages(self._train, passages, copy_tokens, copy_tokens, self._job.seed)
        for start in range(0, len(drawn), size * place.world):
            mine = drawn[start + place.rank * size : start + (place.rank + 1) * size]
            yield len(mine), {"tokens": torch.tensor(mine or drawn[:1], dtype=torch.int64, device=self._device)}

    def beginnings(self, count: int, length: int) -> Tensor | None:
        """The first `length` tokens of `count` rows, evenly spread over validation or, without it, training; None where rows are pairs."""
        shards = self._val or self._train
        places = np.unique(np.linspace(0, len(shards) - 1, count).round().astype(np.int64))
        rows = shards.rows(places)
        if "tokens" not in rows:
            return None
        return torch.from_numpy(rows["tokens"][:, :length].astype(np.int64)).to(self._device)

    def _tensors(self, rows: Rows) -> Batch:
        arrays = self._objective.batch(rows)
        return {name: torch.from_numpy(np.ascontiguousarray(array)).to(self._device) for name, array in arrays.items()}
