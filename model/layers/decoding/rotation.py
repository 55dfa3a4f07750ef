"""Rotary positions as one complex product: the two numbers that rotate together are adjacent.

Queries and keys are reordered alike (their matrices' rows, once), so dot products stay the same.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model.layers.config import PositionsConfig
from model.layers.decoding.state import Window
from model.layers.positions.rotary import frequencies


class Rotation:
    """The turn of each pair of channels at each position, complex [P, R / 2]; grows with the longest text."""

    def __init__(self, config: PositionsConfig, rotary_width: int, device: torch.device) -> None:
        self.config, self.rotary_width = config, rotary_width
        self._turn_PR = torch.empty((0, rotary_width // 2), dtype=torch.complex64, device=device)

    def of(self, window: Window) -> Tensor:
        """Return the turns of the new tokens, complex, broadcasting to [M, X, R / 2]."""
        turn_PR = self._up_to(window.end)
        return turn_PR[window.end - 1] if window.single else turn_PR[window.positions_NT.flatten()][:, None]

    def table(self, end: int) -> Tensor:
        """Return cosine and sine of each pair's turn, side by side, at all positions below `end` and perhaps more, fp32 [P, R]."""
        return torch.view_as_real(self._up_to(end)).flatten(1)

    def _up_to(self, end: int) -> Tensor:
        turn_PR = self._turn_PR
        if len(turn_PR) < end:
            frequency_R, scale = frequencies(self.config, self.rotary_width)
            length = max(end, min(2 * end, self.config.context))
            angle_PR = torch.arange(length, dtype=torch.float32)[:, None] * frequency_R[None, :]
            # Another thread may read texts with the same network; each goes on with the table that it has seen.
            self._turn_PR = turn_PR = torch.polar(torch.full_like(angle_PR, scale), angle_PR).to(turn_PR.device)
        return turn_PR


def paired_order(heads: int, before: int, rotated: int) -> Tensor:
    """Return the order of the channels of `heads` heads, each `before` numbers as they are and `rotated` ones paired, int64."""
    half = rotated // 2
    pairs = torch.stack((torch.arange(half), torch.arange(half) + half), dim=1).flatten() + before
    head = torch.cat((torch.arange(before), pairs))
    return (torch.arange(heads)[:, None] * (before + rotated) + head[None, :]).flatten()


def rotate_pairs_(x_MXR: Tensor, turn_MXR: Tensor) -> None:
    """Rotate in place; `x_MXR` has its last axis in one piece."""
    torch.view_as_complex(x_MXR.view(*x_MXR.shape[:-1], -1, 2)).mul_(turn_MXR)
