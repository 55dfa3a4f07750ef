"""Multi-head latent attention (DeepSeek-V2, 2024): keys and values of all heads made from one small vector a token.

Each head's query and key have a part without position, K numbers from the latent vector of L, and with rotary positions a part of
R numbers that turns; the turning part of the key is the same for all heads. Queries may come from a latent vector of their own.

The cache holds L + R numbers a token and layer, the same for all heads, in place of 2 G K. Reading through it never makes the
heads' keys and values again: the query is carried into the latent space by the key's matrix, and the mixed latent vector out of
it by the value's, so all heads share one key (the paper's absorbed form, equal to rounding). Training multiplies them out, which
is less work when all tokens are new.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.layers.attend import Sight, attend
from model.layers.attention import KeyValueCache, Rotary
from model.layers.norms import RMSNorm
from model.layers.rotary import rotate
from model.networks.config import DecoderConfig


class LatentAttention(nn.Module):
    """x_BTD -> x_BTD; parameters carry Hugging Face's DeepSeek-V3 names, and turn in Llama's layout (its rope_interleave off)."""

    def __init__(self, config: DecoderConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.dropout = layer, config.dropout
        self.heads, self.head_width, self.turning, self.latent = config.heads, config.head_width, config.rotary_width, config.latent_width
        self.scale = (self.head_width + self.turning) ** -0.5
        queries, bias = self.heads * (self.head_width + self.turning), config.attention_bias
        if config.latent_query_width:
            self.q_a_proj = nn.Linear(config.width, config.latent_query_width, bias=bias)
            self.q_a_layernorm = RMSNorm(config.latent_query_width, config.norm_epsilon)
            self.q_b_proj = nn.Linear(config.latent_query_width, queries, bias=False)
        else:
            self.q_proj = nn.Linear(config.width, queries, bias=False)
        self.compressed = config.latent_query_width > 0
        self.kv_a_proj_with_mqa = nn.Linear(config.width, self.latent + self.turning, bias=bias)
        self.kv_a_layernorm = RMSNorm(self.latent, config.norm_epsilon)
        self.kv_b_proj = nn.Linear(self.latent, self.heads * 2 * self.head_width, bias=False)
        self.o_proj = nn.Linear(self.heads * self.head_width, config.width, bias=bias)

    def forward(self, x_BTD: Tensor, rotary: Rotary | None, sight: Sight, cache: KeyValueCache | None = None) -> Tensor:
        batch, time, _ = x_BTD.shape
        asked = self.q_b_proj(self.q_a_layernorm(self.q_a_proj(x_BTD))) if self.compressed else self.q_proj(x_BTD)
        q_BHTK, turn_BHTR = asked.view(batch, time, self.heads, -1).transpose(1, 2).split((self.head_width, self.turning), dim=-1)
        latent_BTL, turn_BTR = self.kv_a_proj_with_mqa(x_BTD).split((self.latent, self.turning), dim=-1)
        latent_B1TL, turn_B1TR = self.kv_a_layernorm(latent_BTL)[:, None], turn_BTR[:, None]
        if rotary is not None:
            turn_BHTR, turn_B1TR = rotate(turn_BHTR, *rotary), rotate(turn_B1TR, *rotary)
        if cache is None:
            out_BHTK = self._multiplied_out(q_BHTK, turn_BHTR, latent_B1TL, turn_B1TR, sight)
        else:
            out_BHTK = self._absorbed(q_BHTK, turn_BHTR, torch.cat((latent_B1TL, turn_B1TR), dim=-1), sight, cache)
        out_BTD: Tensor = self.o_proj(out_BHTK.transpose(1, 2).reshape(batch, time, -1))
        return out_BTD

    def _multiplied_out(self, q_BHTK: Tensor, turn_BHTR: Tensor, latent_B1TL: Tensor, turn_B1TR: Tensor, sight: Sight) -> Tensor:
        batch, _, time, _ = latent_B1TL.shape
        both = self.kv_b_proj(latent_B1TL[:, 0]).view(batch, time, self.heads, 2 * self.head_width).transpose(1, 2)
        k_BHTK, v_BHTK = both.chunk(2, dim=-1)
        q_BHTQ = torch.cat((q_BHTK, turn_BHTR), dim=-1)
        k_BHTQ = torch.cat((k_BHTK, turn_B1TR.expand(-1, self.heads, -1, -1)), dim=-1)
        # The fused kernels want values as wide as keys.
        v_BHTQ = functional.pad(v_BHTK, (0, self.turning))
        dropout = self.dropout if self.training else 0.0
        return attend(q_BHTQ, k_BHTQ, v_BHTQ, sight, scale=self.scale, dropout=dropout)[..., : self.head_width]

    def _absorbed(self, q_BHTK: Tensor, turn_BHTR: Tensor, kept_B1TC: Tensor, sight: Sight, cache: KeyValueCache) -> Tensor:
        kept_B1SC, _ = cache.update(self.layer, kept_B1TC, kept_B1TC[..., :0])
        weight_HJL = self.kv_b_proj.weight.view(self.heads, 2 * self.head_width, self.latent)
        key_HKL, value_HKL = weight_HJL.to(q_BHTK.dtype).chunk(2, dim=1)
        q_BHTC = torch.cat((q_BHTK @ key_HKL, turn_BHTR), dim=-1)
        dropout = self.dropout if self.training else 0.0
        mixed_BHTC = attend(q_BHTC, kept_B1SC, kept_B1SC, sight, scale=self.scale, dropout=dropout)
        return mixed_BHTC[..., : self.latent] @ value_HKL.transpose(1, 2)
