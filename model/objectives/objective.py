"""The interface between the trainer and an objective.

An objective sums; the trainer divides. Every micro-batch on every worker returns the SUM of its loss, and the trainer divides by the units
(tokens or pairs) of the whole global batch. A mean of means would weigh a token by how few others share its micro-batch, and would change
with the number of workers.
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
    """A loss that is a sum over units, and metrics that are sums over the same units."""

    shard_kinds: ClassVar[tuple[str, ...]]  # kinds of shards that it reads
    needs_reference: ClassVar[bool]  # whether the loss needs a frozen copy of the initial decoder
    metrics: ClassVar[tuple[str, ...]]  # names of the returned sums, "loss" first

    def units(self, rows: Rows) -> int:
        """Count the units in these rows."""
        ...

    def batch(self, rows: Rows) -> dict[str, NDArray[Any]]:
        """Turn rows of the shards into the arrays that `sums` takes; columns that hold only padding are cut off."""
        ...

    def sums(self, decoder: Decoder, batch: Mapping[str, Tensor], reference: Decoder | None) -> tuple[Tensor, Tensor]:
        """Return the loss to differentiate (scalar, fp32, a sum) and the metrics (detached, [len(metrics)], sums)."""
        ...


def as_int64(array: NDArray[Any]) -> NDArray[np.int64]:
    """Convert to the type that torch indexes with; no copy if it has that type."""
    return array.astype(np.int64, copy=False)
