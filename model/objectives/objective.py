"""What the trainer asks of an objective.

An objective sums; the trainer divides. Every micro-batch on every worker returns the SUM of its loss, and the trainer
divides by the units (tokens or pairs) of the whole global batch: a mean of means would weigh a token by how few
others happened to lie beside it, and would change with the number of workers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

    from model.networks.decoder import Decoder

Rows = Mapping[str, NDArray[Any]]
Prepare = Callable[[NDArray[Any]], "Tensor"]


class Objective(Protocol):
    """A loss that is a sum over units, with metrics that are sums over the same units."""

    shard_kinds: ClassVar[tuple[str, ...]]  # the kinds of shard directory that it reads
    needs_reference: ClassVar[bool]  # whether the loss asks a frozen copy of the initial decoder
    metrics: ClassVar[tuple[str, ...]]  # names of the sums returned, "loss" first

    def units(self, rows: Rows) -> int:
        """How many units these rows hold."""
        ...

    def batch(self, rows: Rows) -> dict[str, NDArray[Any]]:
        """Rows as the shards hold them to the arrays that `sums` wants, without what padding makes needless."""
        ...

    def sums(self, decoder: Decoder, batch: Mapping[str, Tensor], reference: Decoder | None) -> tuple[Tensor, Tensor]:
        """The loss to differentiate (scalar, fp32, a sum) and the metrics (detached, [len(metrics)], sums)."""
        ...


def as_int64(array: NDArray[Any]) -> NDArray[np.int64]:
    """What torch indexes with; no copy when it is that already."""
    return array.astype(np.int64, copy=False)
