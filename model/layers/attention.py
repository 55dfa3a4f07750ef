"""Causal self-attention with grouped queries (Ainslie et al., 2023): MHA, GQA or MQA by the number of key and value heads.

Guarantee: a token sees itself and what came before it in its own document, nothing else; so changing one document of a
packed row leaves the others' outputs bit-equal.
With a cache, keys and values of earlier tokens come from it and only the new tokens are computed.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor, nn

from model.layers.attend import Sight, attend
from model.layers.norms import RMSNorm
from model.layers.rotary import rotate
from model.networks.config import DecoderConfig

Rotary = tuple[Tensor, Tensor]


class KeyValueCache(Protocol):
    """What attention asks of a cache. `length` tokens are held when a forward pass begins."""

    length: int

    def update(self, layer: int, k_BGTK: Tensor, v_BGTK: Tensor, /) -> tuple[Tensor, Tensor]:
        """Append the new tokens of one layer; return all of its keys and values, [B, G, length + T, K]."""
        ...


class Attention(nn.Module):
    """x_BTD -> x_BTD; H query heads of K numbers share G key and value heads."""

    def __init__(self, config: DecoderConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.dropout = layer, config.dropout
        self.heads, self.kv_heads, self.head_width = config.heads, config.kv_heads, config.head_width
        inner, shared, bias = config.heads * config.head_width, config.kv_heads * config.head_width, config.attention_bias
        self.q_proj = nn.Linear(config.width, inner, bias=bias)
        self.k_proj = nn.Linear(config.width, shared, bias=bias)
        self.v_proj = nn.Linear(config.width, shared, bias=bias)
        self.o_proj = nn.Linear(inner, config.width, bias=bias)
        self.q_norm = RMSNorm(config.head_width, config.norm_epsilon) if config.qk_norm else None
        self.k_norm = RMSNorm(config.head_width, config.norm_epsilon) if config.qk_norm else None

    def forward(self, x_BTD: Tensor, rotary: Rotary | None, sight: Sight, cache: KeyValueCache | None = None) -> Tensor:
        batch, time, _ = x_BTD.shape
        q_BHTK = self.q_proj(x_BTD).view(batch, time, self.heads, self.head_width).transpose(1, 2)
        k_BGSK = self.k_proj(x_BTD).view(batch, time, self.kv_heads, self.head_width).transpose(1, 2)
        v_BGSK = self.v_proj(x_BTD).view(batch, time, self.kv_heads, self.head_width).transpose(1, 2)
        if self.q_norm is not None and self.k_norm is not None:
            q_BHTK, k_BGSK = self.q_norm(q_BHTK), self.k_norm(k_BGSK)
        if rotary is not None:
            q_BHTK, k_BGSK = rotate(q_BHTK, *rotary), rotate(k_BGSK, *rotary)
        if cache is not None:
            k_BGSK, v_BGSK = cache.update(self.layer, k_BGSK, v_BGSK)
        out_BHTK = attend(q_BHTK, k_BGSK, v_BGSK, sight, dropout=self.dropout if self.training else 0.0)
        out_BTD: Tensor = self.o_proj(out_BHTK.transpose(1, 2).reshape(batch, time, -1))
        return out_BTD
