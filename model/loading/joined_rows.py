"""Rows with columns from outside their shards: from other shards, or from another row.

Rows of one kind with rows of pretraining among them, read as one sequence.

The rows of the step's own shards come first, those that are replayed after them. A row holds the columns of both kinds, its own under their
names and those of pretraining under `replay.<name>`, zero where it is of the other kind; and the flag `replayed`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from data.shards.reader import ShardReader
from data.shards.schema import WORDS, Array, ShardError
from model.loading.mixture_config import MixturePhase
from model.loading.order import Indices, MixtureOrder
from model.objectives.masked import CONTINUES
from model.objectives.protocol import BEGINS
from model.objectives.replayed import PREFIX, REPLAYED

RowNumbers = Sequence[int] | NDArray[np.integer[Any]]


class RowReader(Protocol):
    """Random access to rows, such as a `ShardReader`."""

    def __len__(self) -> int: ...

    def rows(self, indices: RowNumbers) -> dict[str, Array]:
        """Return the rows of `indices`, in that order: each column [len(indices), *shape]."""
        ...


class HeldRows:
    """Rows that are in memory."""

    def __init__(self, columns: Mapping[str, Array]) -> None:
        self._columns = columns

    def __len__(self) -> int:
        return len(next(iter(self._columns.values())))

    def rows(self, indices: RowNumbers) -> dict[str, Array]:
        """Return the rows of `indices`."""
        return {name: column[np.asarray(indices)] for name, column in self._columns.items()}


class JoinedRows:
    """Each row of `own` with the columns of the same row of `beside`."""

    def __init__(self, own: RowReader, beside: RowReader) -> None:
        """Raise ValueError unless both hold equally many rows."""
        if len(own) != len(beside):
            raise ValueError(f"{len(beside)} rows can't be joined to {len(own)}; make them again")
        self._own, self._beside = own, beside

    def __len__(self) -> int:
        return len(self._own)

    def rows(self, indices: RowNumbers) -> dict[str, Array]:
        """Return the rows of `indices`, with the columns of both."""
        return {**self._own.rows(indices), **self._beside.rows(indices)}


class WordRows:
    """Each row with the flags `continues` [C + 1]: which tokens go on the word of the token before."""

    def __init__(self, own: ShardReader) -> None:
        """Raise ShardError if the shards do not say what words are."""
        if not own.has_table(WORDS):
            raise ShardError(f"{own.directory} does not say which tokens go on a word; pack with words: true, or set whole_words=false")
        self._own, self._joins = own, own.table(WORDS)

    def __len__(self) -> int:
        return len(self._own)

    def rows(self, indices: RowNumbers) -> dict[str, Array]:
        """Return the rows of `indices`, with the flags."""
        found = self._own.rows(indices)
        joins, document = self._joins[found["tokens"]], found["document"]
        continues = np.zeros(joins.shape, dtype=np.bool_)
        continues[:, 1:] = (joins[:, 1:] & 1 > 0) & (joins[:, :-1] & 2 > 0) & (document[:, 1:] == document[:, :-1])
        return {**found, CONTINUES: continues}


class PartnerRows:
    """Each row with the columns of the row half the rows further on, under `<prefix><name>`: a fixed partner about something else."""

    def __init__(self, own: RowReader, prefix: str) -> None:
        self._own, self._prefix = own, prefix

    def __len__(self) -> int:
        return len(self._own)

    def rows(self, indices: RowNumbers) -> dict[str, Array]:
        """Return the rows of `indices`, with the columns of their partners."""
        partners = (np.asarray(indices, dtype=np.int64) + max(1, len(self) // 2)) % len(self)
        return {**self._own.rows(indices), **{f"{self._prefix}{name}": column for name, column in self._own.rows(partners).items()}}


class BegunRows:
    """Rows of packed text with the token that documents begin with, in the column `begins`."""

    def __init__(self, rows: RowReader) -> None:
        assert isinstance(rows, ShardReader), "what documents begin with is known of rows as their shards hold them"
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self, indices: RowNumbers) -> dict[str, Array]:
        """Return the rows of `indices`."""
        found = self._rows.rows(indices)
        return {**found, BEGINS: np.full(len(found["tokens"]), self._rows.metadata.begin, dtype=np.int64)}


class SingleAnswers:
    """Each pair as two labelled answers: the chosen one, desirable, then the rejected one."""

    def __init__(self, pairs: RowReader) -> None:
        self._pairs = pairs

    def __len__(self) -> int:
        return 2 * len(self._pairs)

    def rows(self, indices: RowNumbers) -> dict[str, Array]:
        """Return the answers of `indices`: `tokens` and `loss`, and whether each is `desirable`."""
        wanted = np.asarray(indices, dtype=np.int64)
        pairs, chosen = self._pairs.rows(wanted // 2), wanted % 2 == 0
        sides = {"tokens": ("chosen", "rejected"), "loss": ("chosen_loss", "rejected_loss")}
        columns: dict[str, Array] = {name: np.where(chosen[:, None], pairs[good], pairs[bad]) for name, (good, bad) in sides.items()}
        return {**columns, "desirable": chosen}


def labelled(rows: RowReader) -> RowReader:
    """Return rows of labelled answers, made of pairs if these are pairs."""
    return SingleAnswers(rows) if "chosen" in rows.rows([0]) else rows


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
