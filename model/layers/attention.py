"""Self-attention with grouped queries (Ainslie et al., 2023): MHA, GQA or MQA by the number of key and value heads.

A token sees itself and earlier tokens of its own document, or all of it if the plan is not causal; nothing else, so changing one
document of a packed row leaves the others' outputs bit-equal.
"""

from __future__ import annotations

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

    def forward(self, x_BTD: Tensor, rotary: Rotary | None, plan: AttentionPlan) -> Tensor:
        batch, time, _ = x_BTD.shape
        q_BHTK = self.q_proj(x_BTD).view(batch, time, self.heads, self.head_width).transpose(1, 2)
        k_BGSK = self.k_proj(x_BTD).view(batch, time, self.kv_heads, self.head_width).transpose(1, 2)
        v_BGSK = self.v_proj(x_BTD).view(batch, time, self.kv_heads, self.head_width).transpose(1, 2)
        if self.q_norm is not None and self.k_norm is not None:
            q_BHTK, k_BGSK = self.q_norm(q_BHTK), self.k_norm(k_BGSK)
        if rotary is not None:
            q_BHTK, k_BGSK = rotate(q_BHTK, *rotary), rotate(k_BGSK, *rotary)
        out_BHTK = attend(q_BHTK, k_BGSK, v_BGSK, plan, dropout=self.dropout if self.training else 0.0)
        out_BTD: Tensor = self.o_proj(out_BHTK.transpose(1, 2).reshape(batch, time, -1))
        return out_BTD
