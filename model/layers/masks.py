"""Who may see whom: walls between documents, the past alone, and a pattern on it.

Guarantee: a token sees itself and what came before it in its own document, nothing else. Patterns count places inside the
document, so a packed document is seen as it would be alone.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from model.networks.config import DecoderConfig

Rule = Callable[[Tensor, Tensor], Tensor]


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


def pattern_rule(config: DecoderConfig) -> Rule:
    """Whether a query at one place of its document may see the key at another, not after it; elementwise, bool.

    It holds numbers alone, so that FlexAttention compiles it once for all forward passes.
    """
    window, block, before, first = config.window, config.block, config.local_blocks, config.global_blocks

    def sliding(query: Tensor, key: Tensor) -> Tensor:
        return query - key < window

    def block_sparse(query: Tensor, key: Tensor) -> Tensor:
        return (query // block - key // block <= before) | (key // block < first)

    return sliding if config.pattern == "sliding" else block_sparse
