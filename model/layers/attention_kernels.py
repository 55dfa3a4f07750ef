"""Scaled dot-product attention over PyTorch's kernels. Which one runs, and what a token sees, is in the `AttentionPlan`.

- `fused`: scaled_dot_product_attention; a row of one document needs no mask in memory.
- `flex`: FlexAttention, on CUDA, for packed rows, patterns, ALiBi and soft caps; it skips blocks that are wholly masked.
- `plain`: matrix products and a softmax, for soft caps elsewhere, and for short bf16 sequences on a CPU, where the fused kernel's
  backward pass is slow. It holds B H T S numbers in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from model.layers.attention_plan import AttentionPlan


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
    return torch.compile(kernel, dynamic=False) if device_type == "cuda" else kernel
