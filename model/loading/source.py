"""The interface between the trainer and the rows it learns from: packed shards, or replies that the model samples while it is trained."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from model.hardware.transfers import upload
from model.loading.joined_rows import RowReader
from model.loading.order import Indices
from model.objectives.protocol import Objective, Rows

Batch = dict[str, Tensor]
Measured = tuple[dict[str, float], Batch]
POSITION = "position"


class BatchSchedule(Protocol):
    """The size of each update's batch, and its position in the order of rows."""

    def batch_at(self, update: int) -> int:
        """Sequences in update number `update`, from 0."""
        ...

    def sequences_before(self, update: int) -> int:
        """Sequences in all updates before number `update`."""
        ...


class BatchShare(NamedTuple):
    """A worker's part of each global batch: the `rank`-th of `world_size` equal parts, in micro-batches on a device."""

    rank: int
    world_size: int
    micro_batch: int
    device: torch.device


class StepRows(NamedTuple):
    """A worker's work for one step: its units and statistics by name, and its micro-batches."""

    units: dict[str, float]
    globals: dict[str, float]
    micro_batches: list[Batch]


class Source(Protocol):
    """Rows for each update, which follow from its number and the seed. All workers call each method at the same update."""

    def step(self, update: int, skipped: int = 0) -> StepRows:
        """Return this worker's part of update number `update`, from 0. `skipped`: rows of the order left out before it."""
        ...

    def samples(self, update: int, skipped: int = 0) -> bool:
        """Return whether the rows of update number `update` are sampled from the model just before it."""
        ...

    def validation(self) -> Iterator[Measured]:
        """Yield (units, batch) over this worker's validation rows, if there are any; no units: compute it, but do not count it."""
        ...

    def memorization_passages(self, passages: int, copy_tokens: int, seed: int) -> Iterator[Measured]:
        """Yield (units, batch) of training text to test for memorization, if rows are text."""
        ...

    def prompts(self, count: int, length: int) -> Tensor | None:
        """Return beginnings of rows to sample from, int64 [count, length]; None if rows offer none."""
        ...

    def finish(self, output: Path) -> None:
        """Copy into the model's directory what the source itself has made, if anything; called on the first worker alone."""
        ...


def step_rows(objective: Objective, rows: Rows, positions: Indices, share: BatchShare) -> StepRows:
    """Return a worker's part of a step, from its rows at these positions of the order."""
    placed, size = {**rows, POSITION: positions}, share.micro_batch
    parts = ({name: column[start : start + size] for name, column in placed.items()} for start in range(0, len(positions), size))
    micro_batches = [as_tensors(objective, part, share.device) for part in parts]
    return StepRows(objective.units(placed), objective.globals(placed), micro_batches)


def as_tensors(objective: Objective, rows: Rows, device: torch.device) -> Batch:
    """Return the batch that an objective makes of rows."""
    arrays = objective.batch(rows)
    return {name: upload(array, device) for name, array in arrays.items()}


def shared_batches(rows: RowReader, objective: Objective, share: BatchShare) -> Iterator[tuple[list[int], Batch]]:
    """Yield a worker's part of all rows: their numbers and the batch. Every worker gets equally many; no numbers: computed, not kept."""
    size = share.micro_batch
    for start in range(0, len(rows), size * share.world_size):
        begin = start + share.rank * size
        mine = list(range(begin, min(begin + size, len(rows))))
        numbers = np.array(mine or [0], dtype=np.int64)
        yield mine, as_tensors(objective, {**rows.rows(numbers), POSITION: numbers}, share.device)
