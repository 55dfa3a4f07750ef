"""A matrix in the layout in which oneDNN multiplies several vectors at once, on a CPU.

The sums are the same bits for any number of threads, which those of a plain product of 5 vectors, for one, are not.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

LEAST_ALONE = 1_500_000  # numbers in a matrix, from which this layout is no slower for one vector either


def packs(weight_OI: Tensor) -> bool:
    """Return whether a matrix can have this layout."""
    return weight_OI.device.type == "cpu" and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]


class PackedMatrix:
    """x_MI -> x_MO."""

    def __init__(self, weight_OI: Tensor, bias_O: Tensor | None) -> None:
        self._kernels: Any = torch.ops.mkldnn
        self._weight, self._bias_O = self._kernels._reorder_linear_weight(weight_OI.contiguous(), None), bias_O

    def __call__(self, x_MI: Tensor) -> Tensor:
        product_MO: Tensor = self._kernels._linear_pointwise(_several(x_MI), self._weight, self._bias_O, "none", [], "")
        return product_MO[: len(x_MI)]

    def added(self, stream_MO: Tensor, x_MI: Tensor) -> Tensor:
        """Return stream_MO plus the product."""
        sum_MO: Tensor = self._kernels._linear_pointwise.binary(_several(x_MI), _several(stream_MO), self._weight, self._bias_O, "add")
        return sum_MO[: len(x_MI)]


def _several(x_MI: Tensor) -> Tensor:
    """Return one vector twice, since oneDNN divides the sum of a single one among its threads."""
    return x_MI.expand(2, -1) if len(x_MI) == 1 else x_MI
