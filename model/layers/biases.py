"""Positions as a bias on attention's scores that depends on head and distance alone, the same in every layer.

ALiBi (Press et al., 2022): minus a fixed slope times the distance. Relative bias (T5; Raffel et al., 2020): a learned
number for each bucket of distances, the near ones exact and the far ones ever wider; scores stay divided by sqrt(K), which T5 leaves out.
Both are given as a table by distance, so that the cost of making one is H numbers a token of context.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from model.networks.config import DecoderConfig


class Alibi:
    """bias_HP for distances 0 .. P-1."""

    def __init__(self, config: DecoderConfig) -> None:
        self.slopes = alibi_slopes(config.heads)

    def table(self, length: int, device: torch.device) -> Tensor:
        slope_H = torch.tensor(self.slopes, dtype=torch.float32, device=device)
        return -slope_H[:, None] * torch.arange(length, dtype=torch.float32, device=device)[None, :]


class RelativeBias(nn.Embedding):
    """A learned number for each of `relative_buckets` and each head."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__(config.relative_buckets, config.heads)
        self.farthest = config.relative_distance

    def table(self, length: int, device: torch.device) -> Tensor:
        bias_PH: Tensor = self(relative_buckets(length, self.num_embeddings, self.farthest).to(device))
        return bias_PH.t()


def alibi_slopes(heads: int) -> list[float]:
    """2^(-8 i / n) for i = 1 .. n; where n is no power of two, the nearest below, then every other slope of twice as many."""
    power = 1 << (heads.bit_length() - 1)
    slopes = [2.0 ** (-8 * number / power) for number in range(1, power + 1)]
    return slopes + [2.0 ** (-4 * number / power) for number in range(1, 2 * (heads - power), 2)]


def relative_buckets(length: int, buckets: int, farthest: int) -> Tensor:
    """The bucket of each distance 0 .. length-1: half of them one distance each, the rest spaced by logarithm up to `farthest`."""
    exact = buckets // 2
    distance = torch.arange(length)
    share = (distance.clamp(min=1).float() / exact).log() / math.log(farthest / exact)
    far = (exact + (share * (buckets - exact)).long()).clamp(max=buckets - 1)
    return torch.where(distance < exact, distance, far)
