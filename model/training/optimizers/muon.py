"""Muon (Jordan et al., 2024) for matrices and AdamW for the rest, as one optimizer: torch's own two, side by side.

Muon replaces a matrix's averaged gradient by the nearest orthogonal matrix, found by five steps of Newton and Schulz in bf16; its length is
matched to that of AdamW's updates (Liu et al., 2025, "Muon is Scalable for LLM Training"), so that one learning rate and one decay
serve both. It needs whole matrices, which ZeRO's stages from 1 on don't leave it. Memory: one tensor a matrix, half of AdamW's.
"""

from __future__ import annotations

from collections.abc import Callable

import torch


class Muon(torch.optim.Optimizer):
    """`matrices` steps its groups, `others` its own; both keep what they remember in this optimizer's `state`."""

    def __init__(self, matrices: torch.optim.Muon, others: torch.optim.AdamW) -> None:
        self._parts = (matrices, others)
        self._counts = [len(part.param_groups) for part in self._parts]
        super().__init__([*matrices.param_groups, *others.param_groups], {})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        if closure is not None:
            raise ValueError("closure: Muon takes the gradients as they are")
        first = 0
        for part, count in zip(self._parts, self._counts, strict=True):
            # A loaded state brings new groups and a new mapping: what the parts see is always this one's.
            part.param_groups, part.state = self.param_groups[first : first + count], self.state
            part.step()
            first += count
