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
from model.layers.experts import Experts, Routing, TiledLinear
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
    """x_BTD -> x_BTD through `times` the inner channels of `feed_forward`."""

    def __init__(self, config: FeedForwardConfig, times: int = 1, linear: type[nn.Linear] = nn.Linear) -> None:
        super().__init__()
        inner, bias = times * config.feed_forward, config.feed_forward_bias
        self.gate_proj = linear(config.width, inner, bias=bias) if config.activation in GATED else None
        self.up_proj = linear(config.width, inner, bias=bias)
        self.down_proj = linear(inner, config.width, bias=bias)
        self.activation = ACTIVATIONS[config.activation]

    def forward(self, x_BTD: Tensor) -> Tensor:
        if self.gate_proj is None:
            inner_BTF = self.activation(self.up_proj(x_BTD))
        else:
            inner_BTF = self.activation(self.gate_proj(x_BTD)) * self.up_proj(x_BTD)
        out_BTD: Tensor = self.down_proj(inner_BTF)
        return out_BTD


def make_feed_forward(config: FeedForwardConfig) -> FeedForward | Experts:
    """Build a block's feed-forward, or its mixture of experts."""
    if (settings := config.experts) is None:
        return FeedForward(config)
    experts = [FeedForward(config, linear=TiledLinear) for _ in range(settings.count)]
    return Experts(settings, config.width, experts, FeedForward(config, settings.shared) if settings.shared else None)


def through(feed_forward: FeedForward | Experts, x_BTD: Tensor, routing: Routing | None) -> Tensor:
    """Return what a feed-forward or a mixture of experts makes of x_BTD; the latter notes in `routing` whom it chose."""
    out_BTD: Tensor = feed_forward(x_BTD, routing) if isinstance(feed_forward, Experts) else feed_forward(x_BTD)
    return out_BTD


@dataclass(frozen=True)
class BlockInputs:
    """State shared by all blocks of one forward pass besides the residual stream. Not a tuple, since ZeRO unpacks a block's tuples."""

    rotary: Rotary | None
    plan: AttentionPlan
    before: list[tuple[Tensor, Tensor]] | None = None  # of each layer: keys and values that stand before the tokens, [1, G, P, K]
    routing: Routing | None = None  # where experts note whom they chose, while that is asked for


class Block(nn.Module):
    """Attention, then feed-forward, each added to the residual stream; a norm before each, or after each addition."""

    def __init__(self, config: BlockConfig, layer: int) -> None:
        super().__init__()
        self.post, self.dropout = config.norm_place == "post", config.dropout
        self.input_layernorm = make_norm(config, rounded=not self.post)
        self.self_attn = (Attention if config.attention == "grouped" else LatentAttention)(config, layer)
        self.post_attention_layernorm = make_norm(config, rounded=not self.post)
        self.mlp = make_feed_forward(config)

    def forward(self, x_BTD: Tensor, shared: BlockInputs) -> Tensor:
        before = shared.before[self.self_attn.layer] if shared.before else None
        if self.post:
            x_BTD = self.input_layernorm(x_BTD + self._dropout(self.self_attn(x_BTD, shared.rotary, shared.plan, before)))
            out_BTD: Tensor = self.post_attention_layernorm(x_BTD + self._dropout(through(self.mlp, x_BTD, shared.routing)))
            return out_BTD
        x_BTD = x_BTD + self._dropout(self.self_attn(self.input_layernorm(x_BTD), shared.rotary, shared.plan, before))
        y_BTD = through(self.mlp, self.post_attention_layernorm(x_BTD), shared.routing)
        out_BTD = x_BTD + self._dropout(y_BTD)
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
