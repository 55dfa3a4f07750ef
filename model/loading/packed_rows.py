"""From packed shards to one worker's micro-batches, and to the validation rows.

The rows of a step follow from (seed, step, global batch, mixture) alone. A worker takes its contiguous share of them and cuts it into
micro-batches. All rows of a step are read before the first micro-batch is computed, because the loss is divided by the units of the whole
global batch. Threads read the coming steps while one is computed; their number does not change any row.

Prefetching: threads compute the coming results while the current one is used.

Guarantee: `get` returns what `compute` returns, whatever was prefetched; an error in `compute` is raised by the `get` for that key.
Cost: as many results in memory as there are threads, besides the one in use. Unused prefetched results are dropped.

Token dropout: hide some input tokens in training, so a network does not rely on any single one (Gal and Ghahramani 2016).

A hidden token is read as `<|pad|>` and is still predicted. Which tokens are hidden follows from (seed, position of the row) alone: the same
on any number of workers and in a resumed run, and new in each epoch. Validation rows are never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from data.shards.reader import ShardReader
from model.hardware.transfers import upload
from model.inputs.inputs import OWN
from model.loading.joined_rows import ReplayedRows, RowReader, evenly_spaced, own_rows
from model.loading.order import Indices, rank_share
from model.loading.source import POSITION, Batch, BatchSchedule, BatchShare, Measured, StepRows, as_tensors, step_rows
from model.objectives.next_token import DROPPED
from model.objectives.protocol import SLOT, Objective, Rows
from model.seeds import row_generator


def draw_passages(reader: ShardReader, passages: int, prompt_tokens: int, copy_tokens: int, seed: int) -> list[list[int]]:
    """Draw up to `passages` passages of prompt_tokens + copy_tokens tokens, at most one from a row; `seed` decides rows and offsets.

    Rows without a passage that long are skipped.
    """
    length = prompt_tokens + copy_tokens
    if length > reader.metadata.sequence_length + 1:
        return []
    generator = np.random.Generator(np.random.Philox(seed))
    found: list[list[int]] = []
    for number in generator.permutation(len(reader)).tolist():
        if len(found) == passages:
            break
        row = {name: values[0] for name, values in reader.rows([number]).items()}
        # Every token but the first must be a target of the same document, so no passage holds padding or crosses a boundary.
        links = row["loss"][1:] & (row["document"][1:] == row["document"][:-1])
        run = np.concatenate([[0], np.cumsum(links)])
        starts = np.flatnonzero(run[length - 1 :] - run[: len(run) - length + 1] == length - 1)
        if len(starts):
            start = int(starts[generator.integers(len(starts))])
            found.append([int(token) for token in row["tokens"][start : start + length]])
    return found


Key = TypeVar("Key")
Result = TypeVar("Result")


class Prefetcher(Generic[Key, Result]):
    """Calls `compute` ahead of time in `threads` threads; without threads, on demand."""

    def __init__(self, compute: Callable[[Key], Result], threads: int) -> None:
        self._compute, self._pending = compute, dict[Key, Future[Result]]()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="loader") if threads else None

    def get(self, key: Key, upcoming: Iterable[Key]) -> Result:
        """Return the result for `key`, and start computing those for the `upcoming` keys."""
        if self._pool is None:
            return self._compute(key)
        wanted = [key, *upcoming]
        for stale in self._pending.keys() - set(wanted):
            self._pending.pop(stale).cancel()
        for one in wanted:
            if one not in self._pending:
                self._pending[one] = self._pool.submit(self._compute, one)
        return self._pending.pop(key).result()


@dataclass(frozen=True)
class TokenDropout:
    """Hides each input token with probability `share`."""

    share: float
    seed: int

    def __call__(self, rows: Rows, positions: Indices) -> Rows:
        """Return the rows with the flags `dropped` [B, C + 1]; what else is read at a hidden token, such as its spelling, is zero."""
        tokens = rows["tokens"]
        dropped = np.zeros(tokens.shape, dtype=np.bool_)
        for row, position in enumerate(positions.tolist()):
            drawn = row_generator(self.seed, position).random_raw(tokens.shape[1])
            dropped[row] = drawn / 2.0**64 < self.share
        beside = {name: values.copy() for name, values in rows.items() if name not in OWN and values.shape[:2] == tokens.shape}
        for values in beside.values():
            values[dropped] = 0
        return {**rows, **beside, DROPPED: dropped}


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
        rows = {**self._train.rows(indices), SLOT: positions - begin}
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
            first = start + share.rank * size
            mine = indices[first : first + size]
            numbers, first = (mine, first) if len(mine) else (indices[:1], 0)
            found = {**val.rows(numbers), POSITION: numbers, SLOT: np.arange(first, first + len(numbers))}
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
