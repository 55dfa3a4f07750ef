"""A Transformer's block as it writes."""

from __future__ import annotations

from torch import Tensor

from model.layers.attention import Attention
from model.layers.attention_plan import AttentionPlan
from model.layers.block import Block
from model.layers.decoding.attention import DecodingAttention
from model.layers.decoding.latent import DecodingLatentAttention
from model.layers.decoding.norms import split_norm, whole_norm
from model.layers.decoding.projection import NEUTRAL, Affine, fuse, writing
from model.layers.decoding.state import Window
from model.layers.feed_forward import FeedForward


class DecodingFeedForward:
    """x_MD -> the stream plus the feed-forward's output."""

    def __init__(self, layer: FeedForward, before: Affine) -> None:
        gate, up = layer.gate_proj, layer.up_proj
        self.gated, self.activation = gate is not None, layer.activation
        self.project = fuse((up,) if gate is None else (gate, up), before)
        self.output = writing(layer.down_proj)

    def __call__(self, stream_MD: Tensor, x_MD: Tensor) -> Tensor:
        inner_MF = self.project(x_MD)
        if self.gated:
            gate_MF, up_MF = inner_MF.chunk(2, dim=1)
            inner_MF = self.activation(gate_MF).mul_(up_MF)
        else:
            inner_MF = self.activation(inner_MF)
        return self.output.added(stream_MD, inner_MF)


class DecodingBlock:
    """x_MD -> x_MD. A norm before a sublayer is folded into its matrices; one of the stream itself is computed whole."""

    def __init__(self, block: Block, *, rotary: bool) -> None:
        self.post = block.post
        norms = block.input_layernorm, block.post_attention_layernorm
        if block.post:
            self.scales, after = [whole_norm(norm) for norm in norms], [NEUTRAL, NEUTRAL]
        else:
            self.scales, after = map(list, zip(*map(split_norm, norms), strict=True))
        attention = block.self_attn
        kind = DecodingAttention if isinstance(attention, Attention) else DecodingLatentAttention
        self.attention = kind(attention, after[0], rotary=rotary)  # type: ignore[arg-type]
        self.feed_forward = DecodingFeedForward(block.mlp, after[1])

    def __call__(self, x_MD: Tensor, turn_MXR: Tensor | None, plan: AttentionPlan, window: Window) -> Tensor:
        first, second = self.scales
        if self.post:
            x_MD = first(self.attention(x_MD, x_MD, turn_MXR, plan, window))
            return second(self.feed_forward(x_MD, x_MD))
        x_MD = self.attention(x_MD, first(x_MD), turn_MXR, plan, window)
        return self.feed_forward(x_MD, second(x_MD))
