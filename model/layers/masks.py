"""Attention masks: causal, inside documents, and sparse patterns.

A token sees itself and earlier tokens of its own document, nothing else; without the causal mask, all of its document. Patterns count
positions inside the document, so a packed document is masked as it would be alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from model.layers.config import AttentionConfig

Rule = Callable[[Tensor, Tensor], Tensor]


def document_mask(documents_BT: Tensor, *, causal: bool = True) -> Tensor:
    """Return the block-diagonal mask of packed rows, bool [B, 1, T, S]: true where query t may see key s."""
    time = documents_BT.shape[1]
    same_BTS = documents_BT[:, :, None] == documents_BT[:, None, :]
    if not causal:
        return same_BTS[:, None]
    return (same_BTS & torch.ones(time, time, dtype=torch.bool, device=documents_BT.device).tril())[:, None]


def causal_mask(time: int, device: torch.device) -> Tensor:
    """Return the causal mask of `time` tokens, bool [1, 1, time, time]."""
    return torch.ones(time, time, dtype=torch.bool, device=device).tril()[None, None]


def pattern_hides(config: AttentionConfig, length: int) -> bool:
    """Return whether the pattern hides any earlier token in a text of `length` tokens."""
    if config.pattern == "sliding":
        return length > config.window
    if config.pattern == "block_sparse":
        return length > config.block * (config.local_blocks + config.global_blocks + 1)
    return False


def pattern_rule(config: AttentionConfig) -> Rule:
    """Return the elementwise test of whether a query's position may see a key's, given that the key is not later.

    The test closes over numbers alone, so FlexAttention compiles it once for all forward passes.
    """
    window, block, local_blocks, global_blocks = config.window, config.block, config.local_blocks, config.global_blocks

    def sliding(query: Tensor, key: Tensor) -> Tensor:
        return query - key < window

    def block_sparse(query: Tensor, key: Tensor) -> Tensor:
        return (query // block - key // block <= local_blocks) | (key // block < global_blocks)

    return sliding if config.pattern == "sliding" else block_sparse


@cache
def block_mask_maker(device_type: str) -> Callable[..., Any]:
    """Return FlexAttention's `create_block_mask`, compiled on CUDA: there it makes the mask's blocks without the B T S numbers between.

    One compilation serves all masks of a shape and a rule, for any documents.
    """
    from torch.nn.attention.flex_attention import create_block_mask

    maker: Callable[..., Any] = create_block_mask
    return torch.compile(maker) if device_type == "cuda" else maker


def additive_mask(mask_XYTS: Tensor, batch: int, heads: int, groups: int, dtype: torch.dtype) -> Tensor:
    """Return a mask (bool, or already a bias) as the bias that `plain_attention` adds: [B G or 1, heads / groups x T, S]."""
    if mask_XYTS.dtype == torch.bool:
        mask_XYTS = torch.zeros_like(mask_XYTS, dtype=dtype).masked_fill_(~mask_XYTS, float("-inf"))
    time, past = mask_XYTS.shape[2:]
    shared = heads // groups
    if mask_XYTS.shape[1] == 1:
        bias = mask_XYTS[:, :, None].expand(batch, groups, shared, time, past)
    else:
        bias = mask_XYTS.expand(batch, heads, time, past)
    return bias.reshape(batch * groups, shared * time, past).to(dtype)
