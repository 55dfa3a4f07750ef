"""From packed shards to one worker's micro-batches, and to the validation rows.

The rows of a step follow from (seed, step, global batch, mixture) alone. A worker takes its contiguous share of them and cuts it into
micro-batches. All rows of a step are read before the first micro-batch is computed, because the loss is divided by the units of the whole
global batch. Threads read the coming steps while one is computed; their number does not change any row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data.shards.reader import ShardReader
from model.hardware.transfers import upload
from model.loading.joined_rows import RowReader
from model.loading.order import Indices, rank_share
from model.loading.passages import draw_passages
from model.loading.prefetch import Prefetcher
from model.loading.replayed_rows import ReplayedRows, evenly_spaced, own_rows
from model.loading.source import POSITION, Batch, BatchSchedule, BatchShare, Measured, StepRows, as_tensors, step_rows
from model.loading.token_dropout import TokenDropout
from model.objectives.protocol import Objective, Rows

RowOrder = Callable[[int, int], Indices]  # (position, size) -> the rows at `size` positions from `position` on


class PackedRows:
    """The training and validation rows of one worker, from packed shards."""

    def __init__(
        self,
        train: RowReader,
        val: RowReader | None,
        objective: Objective,
        order: RowOrder,
        schedule: BatchSchedule,
        share: BatchShare,
        *,
        total_steps: int,
        eval_rows: int,
        loader_threads: int,
        dropout: TokenDropout | None = None,
    ) -> None:
        """`dropout`: hides tokens of training rows, never of validation rows."""
        self._train, self._val, self._objective, self._order, self._schedule = train, val, objective, order, schedule
        self._share, self._total_steps, self._eval_rows, self._loader_threads = share, total_steps, eval_rows, loader_threads
        self._dropout = dropout
        self._prefetcher = Prefetcher(self._read, loader_threads)

    def step(self, update: int, skipped: int = 0) -> StepRows:
        """Return this worker's part of update number `update`, from 0.

        `skipped`: rows of the order left out before it. Prefetching assumes that no more will be.
        """
        begin = self._schedule.sequences_before(update) + skipped
        wanted, upcoming = (begin, self._schedule.batch_at(update)), []
        for later in range(update + 1, min(update + 1 + self._loader_threads, self._total_steps)):
            begin += self._schedule.batch_at(later - 1)
            upcoming.append((begin, self._schedule.batch_at(later)))
        return self._prefetcher.get(wanted, upcoming)

    def _read(self, wanted: tuple[int, int]) -> StepRows:
        """This worker's part of the batch of `wanted[1]` rows at position `wanted[0]`."""
        begin, count = wanted
        indices, positions = (
            rank_share(numbers, self._share.rank, self._share.world_size)
            for numbers in (self._order(begin, count), np.arange(begin, begin + count))
        )
        rows = self._train.rows(indices)
        return step_rows(self._objective, self._dropout(rows, positions) if self._dropout else rows, positions, self._share)

    def samples(self, update: int, skipped: int = 0) -> bool:
        """Return False: the rows are there before training."""
        return False

    def validation(self) -> Iterator[Measured]:
        """Yield (units, batch) over this worker's part of `eval_rows` validation rows; no units: compute it, but do not count it.

        Every worker gets equally many batches, because under ZeRO 3 each forward pass is a collective.
        """
        if self._val is None:
            return
        val = self._val
        indices = val.evenly_spaced(self._eval_rows) if isinstance(val, ReplayedRows) else evenly_spaced(len(val), self._eval_rows)
        size, share = self._share.micro_batch, self._share
        for start in range(0, len(indices), size * share.world_size):
            mine = indices[start + share.rank * size : start + (share.rank + 1) * size]
            numbers = mine if len(mine) else indices[:1]
            found = {**val.rows(numbers), POSITION: numbers}
            batch = as_tensors(self._objective, found, share.device) | self._own_globals(found)
            yield (self._objective.units(found) if len(mine) else {}), batch

    def memorization_passages(self, passages: int, copy_tokens: int, seed: int) -> Iterator[Measured]:
        """Yield (units, batch) of training text to test for memorization; every worker gets equally many batches."""
        size, share = self._share.micro_batch, self._share
        train = own_rows(self._train)
        assert isinstance(train, ShardReader), "only rows of text are tested, and those are as their shards hold them"
        drawn = draw_passages(train, passages, copy_tokens, copy_tokens, seed)
        for start in range(0, len(drawn), size * share.world_size):
            mine = drawn[start + share.rank * size : start + (share.rank + 1) * size]
            tokens = torch.tensor(mine or drawn[:1], dtype=torch.int64, device=share.device)
            yield {"passages": float(len(mine))} if mine else {}, {"tokens": tokens}

    def prompts(self, count: int, length: int) -> Tensor | None:
        """Return the first `length` tokens of `count` rows, evenly spread over validation rows or, without them, training rows.

        None where rows are preference pairs.
        """
        shards = own_rows(self._val or self._train)
        rows = shards.rows(evenly_spaced(len(shards), count))
        if "tokens" not in rows:
            return None
        return torch.from_numpy(rows["tokens"][:, :length].astype(np.int64)).to(self._share.device)

    def finish(self, output: Path) -> None:
        """Copy nothing: the shards are an artifact of their own."""

    def _own_globals(self, rows: Rows) -> Batch:
        """The statistics of these rows alone, since a validation batch has no others."""
        return {
            name: upload(np.array(value, dtype=np.float32), self._share.device) for name, value in self._objective.globals(rows).items()
        }
