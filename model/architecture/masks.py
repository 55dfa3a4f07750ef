"""Who may see whom: walls between documents, the past alone, and a pattern on it.

Guarantee: a token sees itself and what came before it in its own document, nothing else. Patterns count places inside the
document, so a packed document is seen as it would be alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model.architecture.config import DecoderConfig


def document_mask(documents_BT: Tensor) -> Tensor:
    """Block-diagonal causal mask of packed rows: true where query t may look at key s; bool [B, 1, T, S]."""
    time = documents_BT.shape[1]
    same = documents_BT[:, :, None] == documents_BT[:, None, :]
    return (same & torch.ones(time, time, dtype=torch.bool, device=documents_BT.device).tril())[:, None]


def continued_mask(start: int, time: int, device: torch.device) -> Tensor:
    """Causal mask of `time` new tokens after `start` cached ones; bool [1, 1, time, start + time]."""
    return torch.ones(time, start + time, dtype=torch.bool, device=device).tril(diagonal=start)[None, None]


def pattern_limits(config: DecoderConfig, length: int) -> bool:
    """Whether the pattern hides anything of a text of `length` tokens that causality would show."""
    if config.pattern == "sliding":
        return length > config.window
    if config.pattern == "block_sparse":
        return length > config.block * (config.local_blocks + config.global_blocks + 1)
    return False


def in_pattern(config: DecoderConfig, query: Tensor, key: Tensor) -> Tensor:
    """Whether a query at place `query` of its document may see the key at place `key`, not after it; elementwise, bool."""
    if config.pattern == "sliding":
        return query - key < config.window
    key_block = key // config.block
    return (query // config.block - key_block <= config.local_blocks) | (key_block < config.global_blocks)
