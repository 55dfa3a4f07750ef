"""Linear layers other than the usual: the output matrix and its soft cap, one with a bottleneck, one held in four bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

MULTIPLE = 64


def head_product(x_ND: Tensor, weight_VD: Tensor) -> Tensor:
    """Return logits_NV, x_ND times the transposed weight_VD."""
    if x_ND.is_cuda and len(weight_VD) % MULTIPLE:
        return padded_product(x_ND, weight_VD)
    return functional.linear(x_ND, weight_VD)


def padded_product(x_ND: Tensor, weight_VD: Tensor) -> Tensor:
    """Return what `functional.linear` does, from a matrix with a multiple of 64 rows; it costs a copy of the matrix."""
    device = x_ND.device.type
    if torch.is_autocast_enabled(device):
        weight_VD = weight_VD.to(torch.get_autocast_dtype(device))
    padding = -len(weight_VD) % MULTIPLE
    return functional.linear(x_ND, functional.pad(weight_VD, (0, 0, 0, padding)))[..., : len(weight_VD)]


def soft_cap(logits_NV: Tensor, cap: float) -> Tensor:
    """Bound logits smoothly between -cap and cap, as Gemma 2 does; 0 leaves them unchanged."""
    return cap * (logits_NV / cap).tanh() if cap else logits_NV


class Bottleneck(nn.Module):
    """x_I -> y_O of the layer that it wraps, plus what the bottleneck makes of y_O."""

    bottleneck_down: nn.Linear
    bottleneck_up: nn.Linear

    def __init__(self, base_layer: nn.Linear, width: int) -> None:
        super().__init__()
        outputs = base_layer.out_features
        self.base_layer, self.enabled = base_layer, True
        with torch.device(base_layer.weight.device):
            self.bottleneck_down, self.bottleneck_up = nn.Linear(outputs, width), nn.Linear(width, outputs)

    def forward(self, x_XI: Tensor) -> Tensor:
        y_XO: Tensor = self.base_layer(x_XI)
        return y_XO + self.after(y_XO) if self.enabled else y_XO

    def after(self, y_XO: Tensor) -> Tensor:
        """Return what is added to the layer's output."""
        added_XO: Tensor = self.bottleneck_up(functional.gelu(self.bottleneck_down(y_XO)))
        return added_XO


Unpack = Callable[[Tensor, Tensor, torch.Size], Tensor]


class FourBitLinear(nn.Module):
    """x_XI -> x_XO. `unpack` makes the fp32 matrix from codes and scales, which are buffers, so nothing trains them.

    The codes have the name by which peft finds out where a layer computes that has no matrix. `tiled`: it is one of a layer of experts,
    which adapters leave alone.
    """

    qweight: Tensor
    scales: Tensor

    def __init__(
        self, codes: Tensor, scales: Tensor, shape: torch.Size, bias: nn.Parameter | None, unpack: Unpack, *, tiled: bool = False
    ) -> None:
        super().__init__()
        self.tiled = tiled
        self.out_features, self.in_features = shape
        self.register_buffer("qweight", codes, persistent=False)
        self.register_buffer("scales", scales, persistent=False)
        self.bias, self._unpack = bias, unpack

    @property
    def packed_weights(self) -> int:
        """The number of packed weights."""
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
