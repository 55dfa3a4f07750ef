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

    def matrix(self) -> Tensor:
        """Return the matrix as it was given, [out, in]."""
        weight_OI: Tensor = self._weight.to_dense()
        return weight_OI

    def __call__(self, x_MI: Tensor) -> Tensor:
        if len(x_MI) == 1:
            # Twice the same, since oneDNN divides the sum of a single vector among its threads.
            return self(x_MI.expand(2, -1))[:1]
        product_MO: Tensor = self._kernels._linear_pointwise(x_MI, self._weight, self._bias_O, "none", [], "")
        return product_MO

    def added(self, stream_MO: Tensor, x_MI: Tensor) -> Tensor:
        """Return stream_MO plus the product."""
        return self(x_MI).add_(stream_MO)
