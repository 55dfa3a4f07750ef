"""Positions as a bias on attention's scores that depends on the head and the distance alone, the same in every layer.

ALiBi (Press et al., 2022): minus a fixed slope times the distance. Relative bias (T5; Raffel et al., 2020): a learned number for each
bucket of distances; near distances have a bucket each, far ones share ever wider buckets. Unlike T5, scores stay divided by sqrt(K).
Both are computed as a table by distance, which costs H numbers for each position of the context.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from model.layers.config import PositionsConfig


class Alibi:
    """bias_HP for distances 0 .. P-1."""

    def __init__(self, config: PositionsConfig) -> None:
        self.slopes = alibi_slopes(config.heads)

    def table(self, length: int, device: torch.device) -> Tensor:
        slope_H = torch.tensor(self.slopes, dtype=torch.float32, device=device)
        return -slope_H[:, None] * torch.arange(length, dtype=torch.float32, device=device)[None, :]


class RelativeBias(nn.Embedding):
    """bias_HP for distances 0 .. P-1: a learned number for each of `relative_buckets` and each head."""

    def __init__(self, config: PositionsConfig) -> None:
        super().__init__(config.relative_buckets, config.heads)
        self.max_distance = config.relative_distance

    def table(self, length: int, device: torch.device) -> Tensor:
        bias_PH: Tensor = self(relative_buckets(length, self.num_embeddings, self.max_distance).to(device))
        return bias_PH.t()


def alibi_slopes(heads: int) -> list[float]:
    """Return each head's slope: 2^(-8 i / n) for i = 1 .. n.

    If n is not a power of two: the slopes of the power of two below, then every other slope of the power of two above.
    """
    power = 1 << (heads.bit_length() - 1)
    slopes = [2.0 ** (-8 * number / power) for number in range(1, power + 1)]
    return slopes + [2.0 ** (-4 * number / power) for number in range(1, 2 * (heads - power), 2)]


def relative_buckets(length: int, buckets: int, max_distance: int) -> Tensor:
    """Return the bucket of each distance 0 .. length-1, int64 [P].

    Half of the buckets hold one distance each; the others grow logarithmically, and the last takes `max_distance` and beyond.
    """
    exact = buckets // 2
    distance_P = torch.arange(length)
    log_share_P = (distance_P.clamp(min=1).float() / exact).log() / math.log(max_distance / exact)
    far_P = (exact + (log_share_P * (buckets - exact)).long()).clamp(max=buckets - 1)
    return torch.where(distance_P < exact, distance_P, far_P)
