"""Rows with columns from outside their shards: from other shards, or from another row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from data.shards.schema import Array

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
