"""Self-attention with grouped queries (Ainslie et al., 2023): MHA, GQA or MQA by the number of key and value heads.

A token sees itself and earlier tokens of its own document, or all of it if the plan is not causal; nothing else, so changing one
document of a packed row leaves the others' outputs bit-equal.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.layers.attention_kernels import attend
from model.layers.attention_plan import AttentionPlan
from model.layers.config import AttentionConfig
from model.layers.norms import RMSNorm
from model.layers.positions.rotary import Rotary, rotate


class Attention(nn.Module):
    """x_BTD -> x_BTD; H query heads of K numbers share G key and value heads."""

    def __init__(self, config: AttentionConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.dropout = layer, config.dropout
        self.heads, self.kv_heads, self.head_width = config.heads, config.kv_heads, config.head_dim
        inner, shared, bias = config.heads * config.head_dim, config.kv_heads * config.head_dim, config.attention_bias
        self.q_proj = nn.Linear(config.width, inner, bias=bias)
        self.k_proj = nn.Linear(config.width, shared, bias=bias)
        self.v_proj = nn.Linear(config.width, shared, bias=bias)
        self.o_proj = nn.Linear(inner, config.width, bias=bias)
        self.q_norm = RMSNorm(config.head_dim, config.norm_epsilon) if config.qk_norm else None
        self.k_norm = RMSNorm(config.head_dim, config.norm_epsilon) if config.qk_norm else None

    def forward(self, x_BTD: Tensor, rotary: Rotary | None, plan: AttentionPlan, before: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """`before`: keys and values [1, G, P, K] that precede all others; the plan has P columns for them."""
        batch, time, _ = x_BTD.shape
        q_BHTK = self.q_proj(x_BTD).view(batch, time, self.heads, self.head_width).transpose(1, 2)
        k_BGSK, v_BGSK = self.keys_values(x_BTD, rotary)
        if self.q_norm is not None:
            q_BHTK = self.q_norm(q_BHTK)
        if rotary is not None:
            q_BHTK = rotate(q_BHTK, *rotary)
        if before is not None:
            k_BGSK, v_BGSK = (
                torch.cat((first.to(new.dtype).expand(batch, -1, -1, -1), new), dim=2)
                for first, new in zip(before, (k_BGSK, v_BGSK), strict=True)
            )
        out_BHTK = attend(q_BHTK, k_BGSK, v_BGSK, plan, dropout=self.dropout if self.training else 0.0)
        out_BTD: Tensor = self.o_proj(out_BHTK.transpose(1, 2).reshape(batch, time, -1))
        return out_BTD

    def keys_values(self, x_BTD: Tensor, rotary: Rotary | None) -> tuple[Tensor, Tensor]:
        """Return the tokens' keys, normed and rotated, and their values, [B, G, T, K] each."""
        batch, time, _ = x_BTD.shape
        k_BGTK = self.k_proj(x_BTD).view(batch, time, self.kv_heads, self.head_width).transpose(1, 2)
        v_BGTK = self.v_proj(x_BTD).view(batch, time, self.kv_heads, self.head_width).transpose(1, 2)
        k_BGTK = k_BGTK if self.k_norm is None else self.k_norm(k_BGTK)
        return k_BGTK if rotary is None else rotate(k_BGTK, *rotary), v_BGTK
