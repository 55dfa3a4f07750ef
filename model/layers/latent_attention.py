"""Multi-head latent attention (DeepSeek-V2, 2024): keys and values of all heads made from one small vector per token.

Each head's query and key have K numbers without position, made from the latent vector of L numbers, and R rotary numbers; the rotary
part of the key is shared by all heads. Queries may come from a latent vector of their own.

Here keys and values are expanded, which is less work when all tokens are new. In generation they never are (`decoding.latent`): L + R
numbers are kept of each token and layer, shared by all heads, where grouped attention keeps 2 G K.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.layers.attention_kernels import attend
from model.layers.attention_plan import AttentionPlan
from model.layers.config import AttentionConfig
from model.layers.norms import RMSNorm
from model.layers.positions.rotary import Rotary, rotate


class LatentAttention(nn.Module):
    """x_BTD -> x_BTD. Parameters have Hugging Face's DeepSeek-V3 names, in its layout with rope_interleave off."""

    def __init__(self, config: AttentionConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.dropout = layer, config.dropout
        self.heads, self.head_width, self.rotary_width, self.latent = (
            config.heads,
            config.head_dim,
            config.rotary_width,
            config.latent_width,
        )
        self.scale = (self.head_width + self.rotary_width) ** -0.5
        queries, bias = self.heads * (self.head_width + self.rotary_width), config.attention_bias
        self.latent_query = config.latent_query_width > 0
        if self.latent_query:
            self.q_a_proj = nn.Linear(config.width, config.latent_query_width, bias=bias)
            self.q_a_layernorm = RMSNorm(config.latent_query_width, config.norm_epsilon)
            self.q_b_proj = nn.Linear(config.latent_query_width, queries, bias=False)
        else:
            self.q_proj = nn.Linear(config.width, queries, bias=False)
        self.kv_a_proj_with_mqa = nn.Linear(config.width, self.latent + self.rotary_width, bias=bias)
        self.kv_a_layernorm = RMSNorm(self.latent, config.norm_epsilon)
        self.kv_b_proj = nn.Linear(self.latent, self.heads * 2 * self.head_width, bias=False)
        self.o_proj = nn.Linear(self.heads * self.head_width, config.width, bias=bias)

    def forward(self, x_BTD: Tensor, rotary: Rotary | None, plan: AttentionPlan, before: None = None) -> Tensor:
        batch, time, _ = x_BTD.shape
        q_BTX = self.q_b_proj(self.q_a_layernorm(self.q_a_proj(x_BTD))) if self.latent_query else self.q_proj(x_BTD)
        q_BHTK, q_BHTR = q_BTX.view(batch, time, self.heads, -1).transpose(1, 2).split((self.head_width, self.rotary_width), dim=-1)
        latent_BTL, k_BTR = self.kv_a_proj_with_mqa(x_BTD).split((self.latent, self.rotary_width), dim=-1)
        latent_B1TL, k_B1TR = self.kv_a_layernorm(latent_BTL)[:, None], k_BTR[:, None]
        if rotary is not None:
            q_BHTR, k_B1TR = rotate(q_BHTR, *rotary), rotate(k_B1TR, *rotary)
        out_BHTK = self._expanded(q_BHTK, q_BHTR, latent_B1TL, k_B1TR, plan)
        out_BTD: Tensor = self.o_proj(out_BHTK.transpose(1, 2).reshape(batch, time, -1))
        return out_BTD

    def _expanded(self, q_BHTK: Tensor, q_BHTR: Tensor, latent_B1TL: Tensor, k_B1TR: Tensor, plan: AttentionPlan) -> Tensor:
        """Attend with each head's own keys and values, for Q = K + R numbers of query and key."""
        batch, _, time, _ = latent_B1TL.shape
        kv_BHTX = self.kv_b_proj(latent_B1TL[:, 0]).view(batch, time, self.heads, 2 * self.head_width).transpose(1, 2)
        k_BHTK, v_BHTK = kv_BHTX.chunk(2, dim=-1)
        q_BHTQ = torch.cat((q_BHTK, q_BHTR), dim=-1)
        k_BHTQ = torch.cat((k_BHTK, k_B1TR.expand(-1, self.heads, -1, -1)), dim=-1)
        # The fused kernels want values as wide as keys.
        v_BHTQ = functional.pad(v_BHTK, (0, self.rotary_width))
        dropout = self.dropout if self.training else 0.0
        return attend(q_BHTQ, k_BHTQ, v_BHTQ, plan, scale=self.scale, dropout=dropout)[..., : self.head_width]
