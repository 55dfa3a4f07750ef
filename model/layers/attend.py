"""Attention itself, in one function over PyTorch's kernels; what a token may see was decided once for all layers (`sight.py`).

Three ways, chosen for a forward pass:
- `fused`: scaled_dot_product_attention; a row of one document needs no mask in memory.
- `flex`: FlexAttention, on CUDA, for packed rows, patterns, ALiBi and soft caps: blocks that nobody sees are never computed.
- `plain`: three products, for soft caps elsewhere, and for short bf16 sequences on a CPU, where the fused kernel's backward pass is
  slow. It costs B H T S numbers of memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

Way = Literal["fused", "plain", "flex"]


@dataclass(frozen=True)
class Sight:
    """What every layer of one forward pass sees.

    mask: fused: bool (true: may look) or what is added to scores, broadcasting to [B, H, T, S]; None: plainly causal, or one
    new token that sees all. plain: what is added, from `added_rows`.
    """

    way: Way = "fused"
    mask: Tensor | None = None
    soft_cap: float = 0.0
    block_mask: Any = None
    score_mod: Callable[..., Tensor] | None = None


def attend(q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, sight: Sight, *, scale: float | None = None, dropout: float = 0.0) -> Tensor:
    """out_BHTK: softmax over keys of (scale x q k, soft-capped, biased, masked), times v; H query heads share G of keys and values.

    scale None is K ** -0.5. dropout is the share of probabilities dropped, the others scaled up; with `flex` there is none.
    """
    shared = q_BHTK.shape[1] != k_BGSK.shape[1]
    if sight.way == "plain":
        return plain_attention(q_BHTK, k_BGSK, v_BGSK, sight.mask, scale=scale, soft_cap=sight.soft_cap, dropout=dropout)
    if sight.way == "flex":
        kernel = flex_kernel(q_BHTK.device.type)
        out: Tensor = kernel(q_BHTK, k_BGSK, v_BGSK, score_mod=sight.score_mod, block_mask=sight.block_mask, scale=scale, enable_gqa=shared)
        return out
    time = q_BHTK.shape[2]
    causal = sight.mask is None and time == k_BGSK.shape[2] and time > 1
    return functional.scaled_dot_product_attention(
        q_BHTK, k_BGSK, v_BGSK, attn_mask=sight.mask, dropout_p=dropout, is_causal=causal, scale=scale, enable_gqa=shared
    )


def plain_attention(
    q_BHTK: Tensor,
    k_BGSK: Tensor,
    v_BGSK: Tensor,
    added_NMS: Tensor | None,
    *,
    scale: float | None = None,
    soft_cap: float = 0.0,
    dropout: float = 0.0,
) -> Tensor:
    """Attention multiplied out; `added_NMS` None: nothing is hidden. Memory: B H T S numbers."""
    batch, heads, time, width = q_BHTK.shape
    groups, past = k_BGSK.shape[1:3]
    shared = heads // groups  # queries of one group are so many more rows of one product
    scale = width**-0.5 if scale is None else scale
    q_NMK = q_BHTK.reshape(batch * groups, shared * time, width)
    k_NSK, v_NSK = k_BGSK.reshape(batch * groups, past, width), v_BGSK.reshape(batch * groups, past, width)
    with torch.autocast(q_BHTK.device.type, enabled=False):
        if soft_cap or added_NMS is None:
            scores_NMS = torch.bmm(q_NMK, k_NSK.transpose(1, 2)) * scale
            scores_NMS = soft_cap * (scores_NMS / soft_cap).tanh() if soft_cap else scores_NMS
            scores_NMS = scores_NMS if added_NMS is None else scores_NMS + added_NMS
        else:
            scores_NMS = torch.baddbmm(added_NMS, q_NMK, k_NSK.transpose(1, 2), alpha=scale)
        share_NMS = scores_NMS.softmax(dim=-1)
        if dropout:
            share_NMS = functional.dropout(share_NMS, dropout)
        out_NMK = torch.bmm(share_NMS, v_NSK)
    return out_NMK.view(batch, heads, time, width)


def added_rows(mask_XYTS: Tensor, batch: int, heads: int, groups: int, dtype: torch.dtype) -> Tensor:
    """A mask (bool, or already what is added) as `plain_attention` takes it: [B G or 1, heads / groups x T, S]."""
    if mask_XYTS.dtype == torch.bool:
        mask_XYTS = torch.zeros_like(mask_XYTS, dtype=dtype).masked_fill_(~mask_XYTS, float("-inf"))
    time, past = mask_XYTS.shape[2:]
    shared = heads // groups
    if mask_XYTS.shape[1] == 1:
        spread = mask_XYTS[:, :, None].expand(batch, groups, shared, time, past)
    else:
        spread = mask_XYTS.expand(batch, heads, time, past)
    return spread.reshape(batch * groups, shared * time, past).to(dtype)


@cache
def flex_kernel(device_type: str) -> Callable[..., Any]:
    """FlexAttention, compiled where it runs fused; elsewhere its slow form, which computes the same."""
    from torch.nn.attention.flex_attention import flex_attention

    kernel: Callable[..., Any] = flex_attention
    return torch.compile(kernel, dynamic=False) if device_type == "cuda" else kernel
