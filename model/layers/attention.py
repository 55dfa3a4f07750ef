"""Self-attention: grouped queries (Ainslie et al., 2023), latent attention (DeepSeek-V2, 2024), and the kernels behind both.

Self-attention with grouped queries (Ainslie et al., 2023): MHA, GQA or MQA by the number of key and value heads.
A token sees itself and earlier tokens of its own document, or all of it if the plan is not causal; nothing else, so changing one
document of a packed row leaves the others' outputs bit-equal.

Scaled dot-product attention over PyTorch's kernels. Which one runs, and what a token sees, is in the `AttentionPlan`.

- `fused`: scaled_dot_product_attention; a row of one document needs no mask in memory.
- `flex`: FlexAttention, on CUDA, for packed rows, patterns, ALiBi and soft caps; it skips blocks that are wholly masked.
- `plain`: matrix products and a softmax, for soft caps elsewhere, and for short bf16 sequences on a CPU, where the fused kernel's
  backward pass is slow. It holds B H T S numbers in memory.

Multi-head latent attention (DeepSeek-V2, 2024): keys and values of all heads made from one small vector per token.

Each head's query and key have K numbers without position, made from the latent vector of L numbers, and R rotary numbers; the rotary
part of the key is shared by all heads. Queries may come from a latent vector of their own.

Here keys and values are expanded, which is less work when all tokens are new. In generation they never are (`decoding.block`): L + R
numbers are kept of each token and layer, shared by all heads, where grouped attention keeps 2 G K.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.layers.attention_plan import AttentionPlan
from model.layers.config import AttentionConfig
from model.layers.norms import RMSNorm
from model.layers.positions import Rotary, rotate

SHAPES = 256  # of rows and lengths: more than a training and its measurements have


def attend(
    q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, plan: AttentionPlan, *, scale: float | None = None, dropout: float = 0.0
) -> Tensor:
    """Return out_BHTK, the attention of H query heads that share G heads of keys and values.

    Scores are scaled (by K ** -0.5 if `scale` is None), soft-capped, biased, masked, then a softmax over keys. `dropout` is the
    share of probabilities dropped; `flex` has none.
    """
    shared = q_BHTK.shape[1] != k_BGSK.shape[1]
    if plan.kernel == "plain":
        return plain_attention(q_BHTK, k_BGSK, v_BGSK, plan.mask, scale=scale, soft_cap=plan.soft_cap, dropout=dropout)
    if plan.kernel == "flex":
        kernel = flex_kernel(q_BHTK.device.type)
        out: Tensor = kernel(q_BHTK, k_BGSK, v_BGSK, score_mod=plan.score_mod, block_mask=plan.block_mask, scale=scale, enable_gqa=shared)
        return out
    if shared and plan.mask is not None and q_BHTK.is_cuda:
        # No fused kernel of CUDA takes a mask and shared heads at once, and the one that would run instead holds B H T S numbers.
        k_BGSK, v_BGSK = (part.repeat_interleave(q_BHTK.shape[1] // part.shape[1], dim=1) for part in (k_BGSK, v_BGSK))
        shared = False
    time = q_BHTK.shape[2]
    causal = plan.causal and plan.mask is None and time == k_BGSK.shape[2] and time > 1
    return functional.scaled_dot_product_attention(
        q_BHTK, k_BGSK, v_BGSK, attn_mask=plan.mask, dropout_p=dropout, is_causal=causal, scale=scale, enable_gqa=shared
    )


def plain_attention(
    q_BHTK: Tensor,
    k_BGSK: Tensor,
    v_BGSK: Tensor,
    bias_NMS: Tensor | None,
    *,
    scale: float | None = None,
    soft_cap: float = 0.0,
    dropout: float = 0.0,
) -> Tensor:
    """Compute attention as matrix products; `bias_NMS` comes from `additive_mask`, None hides nothing. Memory: B H T S numbers."""
    batch, heads, time, width = q_BHTK.shape
    groups, past = k_BGSK.shape[1:3]
    shared = heads // groups  # the queries of one group are stacked as rows of one product
    scale = width**-0.5 if scale is None else scale
    q_NMK = q_BHTK.reshape(batch * groups, shared * time, width)
    k_NSK, v_NSK = k_BGSK.reshape(batch * groups, past, width), v_BGSK.reshape(batch * groups, past, width)
    with torch.autocast(q_BHTK.device.type, enabled=False):
        if soft_cap or bias_NMS is None:
            scores_NMS = torch.bmm(q_NMK, k_NSK.transpose(1, 2)) * scale
            scores_NMS = soft_cap * (scores_NMS / soft_cap).tanh() if soft_cap else scores_NMS
            scores_NMS = scores_NMS if bias_NMS is None else scores_NMS + bias_NMS
        else:
            scores_NMS = torch.baddbmm(bias_NMS, q_NMK, k_NSK.transpose(1, 2), alpha=scale)
        probabilities_NMS = scores_NMS.softmax(dim=-1)
        if dropout:
            probabilities_NMS = functional.dropout(probabilities_NMS, dropout)
        out_NMK = torch.bmm(probabilities_NMS, v_NSK)
    return out_NMK.view(batch, heads, time, width)


@cache
def flex_kernel(device_type: str) -> Callable[..., Any]:
    """Return FlexAttention, compiled on CUDA; elsewhere its slow reference form, which computes the same."""
    from torch.nn.attention.flex_attention import flex_attention

    kernel: Callable[..., Any] = flex_attention
    return compile_for_each_shape(kernel, "inductor") if device_type == "cuda" else kernel


def compile_for_each_shape(function: Callable[..., Any], backend: str | Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function once for each shape that it is given, up to `SHAPES` of them.

    By default torch compiles eight, then runs what comes uncompiled, without a word: for FlexAttention that holds B H T S numbers.
    """
    import torch._dynamo.config as settings

    settings.recompile_limit = max(settings.recompile_limit, SHAPES)
    settings.accumulated_recompile_limit = max(settings.accumulated_recompile_limit, 4 * SHAPES)
    return torch.compile(function, backend=backend, dynamic=False)


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
        k_BGSK, v_BGSK = self.keys_values(x_BTD, rotary)
        if before is not None:
            k_BGSK, v_BGSK = (
                torch.cat((first.to(new.dtype).expand(len(new), -1, -1, -1), new), dim=2)
                for first, new in zip(before, (k_BGSK, v_BGSK), strict=True)
            )
        return self.look_up(x_BTD, rotary, k_BGSK, v_BGSK, plan)

    def look_up(self, x_BTD: Tensor, rotary: Rotary | None, k_BGSK: Tensor, v_BGSK: Tensor, plan: AttentionPlan) -> Tensor:
        """Attend to these keys and values, which may be of other tokens."""
        batch, time, _ = x_BTD.shape
        q_BHTK = self.q_proj(x_BTD).view(batch, time, self.heads, self.head_width).transpose(1, 2)
        if self.q_norm is not None:
            q_BHTK = self.q_norm(q_BHTK)
        if rotary is not None:
            q_BHTK = rotate(q_BHTK, *rotary)
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
