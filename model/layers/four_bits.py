"""A frozen linear layer whose matrix is held in four bits a weight and unpacked for each product.

Between the forward and the backward pass nothing but the packed matrix is kept: the backward pass unpacks it again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Unpack = Callable[[Tensor, Tensor, torch.Size], Tensor]


class FourBitLinear(nn.Module):
    """x_XI -> x_XO. `unpack` makes the fp32 matrix from codes and scales, which are buffers, so nothing trains them.

    The codes have the name by which peft finds out where a layer computes that has no matrix.
    """

    qweight: Tensor
    scales: Tensor

    def __init__(self, codes: Tensor, scales: Tensor, shape: torch.Size, bias: nn.Parameter | None, unpack: Unpack) -> None:
        super().__init__()
        self.out_features, self.in_features = shape
        self.register_buffer("qweight", codes, persistent=False)
        self.register_buffer("scales", scales, persistent=False)
        self.bias, self._unpack = bias, unpack

    @property
    def packed_weights(self) -> int:
        """How many weights are packed."""
        return self.out_features * self.in_features

    def matrix(self) -> Tensor:
        """Return the matrix as fp32 [out, in]."""
        return self._unpack(self.qweight, self.scales, torch.Size((self.out_features, self.in_features)))

    def forward(self, x_XI: Tensor) -> Tensor:
        out_XO: Tensor = _Product.apply(x_XI, self)  # type: ignore[no-untyped-call]
        return out_XO if self.bias is None else out_XO + self.bias.to(out_XO.dtype)


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_XI: Tensor, layer: FourBitLinear) -> Tensor:
        ctx.layer = layer
        return functional.linear(x_XI, layer.matrix())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        (gradient_XO,) = gradients
        return gradient_XO @ ctx.layer.matrix().to(gradient_XO.dtype), None
