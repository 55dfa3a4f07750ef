"""Rows of one kind with rows of pretraining among them, read as one sequence.

The rows of the step's own shards come first, those that are replayed after them. A row holds the columns of both kinds, its own under their
names and those of pretraining under `replay.<name>`, zero where it is of the other kind; and the flag `replayed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.shards.reader import ShardReader
from data.shards.schema import Array
from model.loading.joined_rows import RowReader
from model.loading.mixture import MixtureOrder
from model.loading.mixture_config import MixturePhase
from model.loading.order import Indices
from model.objectives.replayed import PREFIX, REPLAYED

OWN, REPLAY = "own", "replay"


class ReplayedRows:
    """The rows of `own`, then those of `replay`; `share`: of the rows that are read, how many are replayed."""

    def __init__(self, own: RowReader, replay: ShardReader, share: float) -> None:
        self.own, self.replay, self.share = own, replay, share

    def __len__(self) -> int:
        return len(self.own) + len(self.replay)

    def rows(self, indices: Sequence[int] | NDArray[np.integer[Any]]) -> dict[str, Array]:
        """Return the rows of `indices`, in that order: each column [len(indices), *shape]."""
        wanted = np.asarray(indices, dtype=np.int64).reshape(-1)
        replayed: NDArray[np.bool_] = wanted >= len(self.own)
        found: dict[str, Array] = {REPLAYED: replayed}
        for reader, here, numbers, prefix in (
            (self.own, ~replayed, wanted[~replayed], ""),
            (self.replay, replayed, wanted[replayed] - len(self.own), PREFIX),
        ):
            for name, values in reader.rows(numbers).items():
                whole = found[f"{prefix}{name}"] = np.zeros((len(wanted), *values.shape[1:]), dtype=values.dtype)
                whole[here] = values
        return found

    def order(self, seed: int, sequences: int) -> MixtureOrder:
        """Return the order of the rows: both kinds shuffled by themselves, epoch for epoch, and spread evenly by the share."""
        phase = MixturePhase(until=1, weights={OWN: 1 - self.share, REPLAY: self.share})
        return MixtureOrder(seed, (phase,), sequences, {OWN: len(self.own), REPLAY: len(self.replay)})

    def evenly_spaced(self, count: int) -> Indices:
        """Return `count` own rows and the share's number of replayed rows, each evenly spaced."""
        beside = round(count * self.share / (1 - self.share))
        return np.concatenate([evenly_spaced(len(self.own), count), len(self.own) + evenly_spaced(len(self.replay), beside)])


def evenly_spaced(rows: int, count: int) -> Indices:
    """Return `count` of `rows` rows, or all of them if they are fewer, evenly spaced; int64."""
    return np.unique(np.linspace(0, rows - 1, min(count, rows)).round().astype(np.int64))


def own_rows(rows: RowReader) -> RowReader:
    """Return the rows of a step's own kind."""
    return rows.own if isinstance(rows, ReplayedRows) else rows
