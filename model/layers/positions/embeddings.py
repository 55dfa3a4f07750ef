"""Positions as vectors added to the token embeddings: learned (GPT-2), or sines and cosines (Vaswani et al., 2017)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from model.layers.config import SizeConfig


class LearnedPositions(nn.Embedding):
    """x_BTD plus a learned vector for each position below `context`."""

    def __init__(self, config: SizeConfig) -> None:
        super().__init__(config.context, config.width)

    def add(self, x_BTD: Tensor, positions_XT: Tensor, stop: int) -> Tensor:
        """Add the vectors of `positions_XT`, all below `stop`; raise ValueError for positions past the context."""
        if stop > self.num_embeddings:
            raise ValueError(f"position {stop - 1}: positions=learned ends with context={self.num_embeddings}; give fewer tokens")
        out_BTD: Tensor = x_BTD + self(positions_XT)
        return out_BTD


class SinusoidalPositions:
    """sqrt(width) x_BTD plus sine and cosine of the position at wavelengths from 2 pi to 10,000 x 2 pi, interleaved.

    The sinusoids have amplitude 1, so embeddings are multiplied by sqrt(width) first, as in the paper (section 3.4).
    """

    def __init__(self, config: SizeConfig) -> None:
        self.width = config.width
        self._tables: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def add(self, x_BTD: Tensor, positions_XT: Tensor, stop: int) -> Tensor:
        """Add the vectors of `positions_XT`, all below `stop`."""
        key = (x_BTD.device, x_BTD.dtype)
        table_PD = self._tables.get(key)
        if table_PD is None or len(table_PD) < stop:
            frequency = 10_000.0 ** -(torch.arange(0, self.width, 2).float() / self.width)
            angle_PF = torch.arange(stop, dtype=torch.float32)[:, None] * frequency[None, :]
            # Another thread may read texts with the same network; each goes on with the table that it has seen.
            self._tables[key] = table_PD = torch.stack((angle_PF.sin(), angle_PF.cos()), dim=-1).flatten(1).to(x_BTD)
        return x_BTD * math.sqrt(self.width) + table_PD[positions_XT]
