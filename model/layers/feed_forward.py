"""The feed-forward layer, gated (Shazeer, 2020: three matrices) or not (two).

SwiGLU gates with SiLU, GeGLU with GELU. GELU is the exact one (Hendrycks and Gimpel, 2016), by the error function; `gelu_tanh` is their
approximation, which GPT-2 was trained with.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn
from torch.nn import functional

from model.layers.config import GATED, FeedForwardConfig


def relu_squared(x: Tensor) -> Tensor:
    """ReLU squared (So et al., 2021)."""
    return functional.relu(x).square()


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "swiglu": functional.silu,
    "geglu": functional.gelu,
    "relu": functional.relu,
    "relu2": relu_squared,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "gelu_tanh": partial(functional.gelu, approximate="tanh"),
}


class FeedForward(nn.Module):
    """x_BTD -> x_BTD through `feed_forward` inner channels."""

    def __init__(self, config: FeedForwardConfig) -> None:
        super().__init__()
        inner, bias = config.feed_forward, config.feed_forward_bias
        self.gate_proj = nn.Linear(config.width, inner, bias=bias) if config.activation in GATED else None
        self.up_proj = nn.Linear(config.width, inner, bias=bias)
        self.down_proj = nn.Linear(inner, config.width, bias=bias)
        self.activation = ACTIVATIONS[config.activation]

    def forward(self, x_BTD: Tensor) -> Tensor:
        if self.gate_proj is None:
            inner_BTF = self.activation(self.up_proj(x_BTD))
        else:
            inner_BTF = self.activation(self.gate_proj(x_BTD)) * self.up_proj(x_BTD)
        out_BTD: Tensor = self.down_proj(inner_BTF)
        return out_BTD
