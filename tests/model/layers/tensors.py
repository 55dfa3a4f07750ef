"""Random tensors for tests of layers."""

from __future__ import annotations

import torch
from torch import Tensor


def normal(rows: int, heads: int, time: int, width: int, seed: int) -> Tensor:
    """Return normal numbers, [rows, heads, time, width]."""
    return torch.randn(rows, heads, time, width, generator=torch.Generator().manual_seed(seed))
