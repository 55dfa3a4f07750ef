"""Muon (Jordan et al., 2024) for matrices and AdamW for the rest, as one optimizer: torch's own two, side by side.

Muon replaces a matrix's momentum by the nearest orthogonal matrix, found by five Newton-Schulz steps in bf16. Its updates are scaled to the
size of AdamW's (Liu et al., 2025, "Muon is Scalable for LLM Training"), so that one learning rate and one weight decay serve both. It needs
whole matrices, so it does not work with ZeRO 1 to 3. Memory: one tensor per matrix, half of AdamW's.
"""

from __future__ import annotations

from collections.abc import Callable

import torch


class Muon(torch.optim.Optimizer):
    """`matrices` and `others` step their own groups; both keep their state in this optimizer's `state`."""

    def __init__(self, matrices: torch.optim.Muon, others: torch.optim.AdamW) -> None:
        self._parts = (matrices, others)
        self._counts = [len(part.param_groups) for part in self._parts]
        super().__init__([*matrices.param_groups, *others.param_groups], {})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        if closure is not None:
            raise ValueError("closure is not supported: Muon uses the gradients that are set")
        first = 0
        for part, count in zip(self._parts, self._counts, strict=True):
            # Loading a state dict replaces groups and state, so the parts are pointed at the current ones in each step.
            part.param_groups, part.state = self.param_groups[first : first + count], self.state
            part.step()
            first += count
