"""A Transformer's block: attention, the feed-forward layer, and what all blocks of one forward pass share.

The feed-forward layer, gated (Shazeer, 2020: three matrices) or not (two).

SwiGLU gates with SiLU, GeGLU with GELU. GELU is the exact one (Hendrycks and Gimpel, 2016), by the error function; `gelu_tanh` is their
approximation, which GPT-2 was trained with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Tensor, nn
from torch.nn import functional

from model.layers.attention import Attention, LatentAttention
from model.layers.attention_plan import AttentionInputs, AttentionPlan
from model.layers.config import GATED, BlockConfig, FeedForwardConfig
from model.layers.norms import make_norm
from model.layers.positions import Rotary, RotaryTable


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


@dataclass(frozen=True)
class BlockInputs:
    """What all blocks of one forward pass share besides the residual stream. Not a tuple, since ZeRO unpacks a block's tuples."""

    rotary: Rotary | None
    plan: AttentionPlan
    before: list[tuple[Tensor, Tensor]] | None = None  # of each layer: keys and values that stand before the tokens, [1, G, P, K]


class Block(nn.Module):
    """Attention, then feed-forward, each added to the residual stream; a norm before each, or after each addition."""

    def __init__(self, config: BlockConfig, layer: int) -> None:
        super().__init__()
        self.post, self.dropout = config.norm_place == "post", config.dropout
        self.input_layernorm = make_norm(config, rounded=not self.post)
        self.self_attn = (Attention if config.attention == "grouped" else LatentAttention)(config, layer)
        self.post_attention_layernorm = make_norm(config, rounded=not self.post)
        self.mlp = FeedForward(config)

    def forward(self, x_BTD: Tensor, shared: BlockInputs) -> Tensor:
        before = shared.before[self.self_attn.layer] if shared.before else None
        if self.post:
            x_BTD = self.input_layernorm(x_BTD + self._dropout(self.self_attn(x_BTD, shared.rotary, shared.plan, before)))
            out_BTD: Tensor = self.post_attention_layernorm(x_BTD + self._dropout(self.mlp(x_BTD)))
            return out_BTD
        x_BTD = x_BTD + self._dropout(self.self_attn(self.input_layernorm(x_BTD), shared.rotary, shared.plan, before))
        out_BTD = x_BTD + self._dropout(self.mlp(self.post_attention_layernorm(x_BTD)))
        return out_BTD

    def _dropout(self, x_BTD: Tensor) -> Tensor:
        return functional.dropout(x_BTD, self.dropout) if self.dropout and self.training else x_BTD


def rotary_of(table: RotaryTable | None, inputs: AttentionInputs, x_BTD: Tensor) -> Rotary | None:
    """Return the cosines and sines of the tokens' positions, in the type that attention computes in; None without a table."""
    if table is None:
        return None
    cos_PR, sin_PR = (values.to(inputs.dtype) for values in table.cos_sin(inputs.end, x_BTD))
    positions_BT = inputs.positions_BT
    if positions_BT is None:
        return cos_PR[: inputs.time], sin_PR[: inputs.time]
    return cos_PR[positions_BT][:, None], sin_PR[positions_BT][:, None]
