"""A copy of what a state holds of one row."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class KeptRow:
    """A row of `length` tokens."""

    length: int
    tensors: tuple[Tensor, ...]
