"""Causal self-attention with grouped queries, rotary positions and, for packed rows, a wall between documents.

Guarantee: a token sees itself and what came before it in its own document, nothing else; so changing one document of a
packed row leaves the others' outputs bit-equal. Rows of a single document take PyTorch's fused causal kernel and
need no mask in memory; packed rows pass a boolean mask of [B, 1, T, T].
Short bf16 sequences on a CPU are multiplied out instead (`plain_attention`), because the fused kernel's backward pass is slow
there; that costs B H T S numbers of memory, so rows of more than `PLAIN_LIMIT` tokens stay with the fused kernel.
With a cache, keys and values of earlier tokens come from it and only the new tokens are computed.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.architecture.config import DecoderConfig
from model.architecture.positions import rotate

PLAIN_LIMIT = 512


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
        self.layer = layer
        self.heads, self.kv_heads, self.head_width = config.heads, config.kv_heads, config.head_width
        inner = config.heads * config.head_width
        shared = config.kv_heads * config.head_width
        self.q_proj = nn.Linear(config.width, inner, bias=False)
        self.k_proj = nn.Linear(config.width, shared, bias=False)
        self.v_proj = nn.Linear(config.width, shared, bias=False)
        self.o_proj = nn.Linear(inner, config.width, bias=False)

    def forward(
        self,
        x_BTD: Tensor,
        rotary: tuple[Tensor, Tensor],
        mask_B1TS: Tensor | None,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """`mask_B1TS` is true where a query may look; None means plainly causal, or one new token that sees all."""
        batch, time, _ = x_BTD.shape
        q_BHTK = self.q_proj(x_BTD).view(batch, time, self.heads, self.head_width).transpose(1, 2)
        k_BGTK = self.k_proj(x_BTD).view(batch, time, self.kv_heads, self.head_width).transpose(1, 2)
        v_BGSK = self.v_proj(x_BTD).view(batch, time, self.kv_heads, self.head_width).transpose(1, 2)
        cos, sin = (table.to(q_BHTK.dtype) for table in rotary)
        q_BHTK, k_BGSK = rotate(q_BHTK, cos, sin), rotate(k_BGTK, cos, sin)
        if cache is not None:
            k_BGSK, v_BGSK = cache.update(self.layer, k_BGSK, v_BGSK)
        causal = mask_B1TS is None and time == k_BGSK.shape[2] and time > 1
        if 1 < time <= PLAIN_LIMIT and q_BHTK.dtype == torch.bfloat16 and q_BHTK.device.type == "cpu":
            out_BHTK = plain_attention(q_BHTK, k_BGSK, v_BGSK, mask_B1TS)
        else:
            out_BHTK = functional.scaled_dot_product_attention(
                q_BHTK,
                k_BGSK,
                v_BGSK,
                attn_mask=mask_B1TS,
                is_causal=causal,
                enable_gqa=self.heads != self.kv_heads,
            )
        out_BTD: Tensor = self.o_proj(out_BHTK.transpose(1, 2).reshape(batch, time, -1))
        return out_BTD


def plain_attention(q_BHTK: Tensor, k_BGSK: Tensor, v_BGSK: Tensor, mask_B1TS: Tensor | None) -> Tensor:
    """Softmax of q k / sqrt(K), times v, as three products; `mask_B1TS` None means causal. Memory: B H T S numbers."""
    batch, heads, time, width = q_BHTK.shape
    groups, past = k_BGSK.shape[1:3]
    shared = heads // groups  # queries of one group are so many more rows of one product
    if mask_B1TS is None:
        mask_B1TS = continued_mask(past - time, time, q_BHTK.device)
    bias_B1TS = torch.zeros_like(mask_B1TS, dtype=q_BHTK.dtype).masked_fill_(~mask_B1TS, float("-inf"))
    bias_NMS = bias_B1TS[:, :, None].expand(batch, groups, shared, time, past).reshape(batch * groups, shared * time, past)
    q_NMK = q_BHTK.reshape(batch * groups, shared * time, width)
    k_NSK, v_NSK = k_BGSK.reshape(batch * groups, past, width), v_BGSK.reshape(batch * groups, past, width)
    with torch.autocast(q_BHTK.device.type, enabled=False):
        scores_NMS = torch.baddbmm(bias_NMS, q_NMK, k_NSK.transpose(1, 2), alpha=width**-0.5)
        out_NMK = torch.bmm(scores_NMS.softmax(dim=-1), v_NSK)
    return out_NMK.view(batch, heads, time, width)


def document_mask(documents_BT: Tensor) -> Tensor:
    """Block-diagonal causal mask of packed rows: true where query t may look at key s; bool [B, 1, T, S]."""
    time = documents_BT.shape[1]
    same = documents_BT[:, :, None] == documents_BT[:, None, :]
    return (same & torch.ones(time, time, dtype=torch.bool, device=documents_BT.device).tril())[:, None]


def continued_mask(start: int, time: int, device: torch.device) -> Tensor:
    """Causal mask of `time` new tokens after `start` cached ones; bool [1, 1, time, start + time]."""
    return torch.ones(time, start + time, dtype=torch.bool, device=device).tril(diagonal=start)[None, None]
