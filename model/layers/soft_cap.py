"""Logits that stay within bounds."""

from __future__ import annotations

from torch import Tensor


def soft_cap(logits_NV: Tensor, cap: float) -> Tensor:
    """Bound logits smoothly between -cap and cap, as Gemma 2 does; 0 leaves them unchanged."""
    return cap * (logits_NV / cap).tanh() if cap else logits_NV
