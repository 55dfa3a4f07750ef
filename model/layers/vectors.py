"""Positions as vectors added to the token embeddings: learned ones (GPT-2), or sines and cosines (Vaswani et al., 2017).

The sinusoids are of size 1, so embeddings are multiplied by sqrt(width) before they are added, as in the paper (3.4).
When it can't: learned positions end with the context; a longer sequence raises ValueError.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from model.networks.config import DecoderConfig


class LearnedPositions(nn.Embedding):
    """x_BTD + a learned vector for each position below `context`."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__(config.context, config.width)

    def add(self, x_BTD: Tensor, positions_XT: Tensor, stop: int) -> Tensor:
        """`positions_XT` are below `stop`; X is 1 or B."""
        if stop > self.num_embeddings:
            raise ValueError(f"position {stop - 1}: positions=learned ends with context={self.num_embeddings}; give fewer tokens")
        out_BTD: Tensor = x_BTD + self(positions_XT)
        return out_BTD


class SinusoidalPositions:
    """sqrt(width) x_BTD + sin, cos of the position over wavelengths from 2 pi to 10,000 x 2 pi, interleaved."""

    def __init__(self, config: DecoderConfig) -> None:
        self.width = config.width
        self._tables: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def add(self, x_BTD: Tensor, positions_XT: Tensor, stop: int) -> Tensor:
        """`positions_XT` are below `stop`; X is 1 or B."""
        key = (x_BTD.device, x_BTD.dtype)
        if key not in self._tables or len(self._tables[key]) < stop:
            rate = 10_000.0 ** -(torch.arange(0, self.width, 2).float() / self.width)
            angle = torch.arange(stop, dtype=torch.float32)[:, None] * rate[None, :]
            self._tables[key] = torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1).to(x_BTD)
        return x_BTD * math.sqrt(self.width) + self._tables[key][positions_XT]
