"""Four-bit formats for a frozen matrix: the INT4 of release variants, and NF4.

NF4 (Dettmers et al., 2023, appendix E): sixteen values at equal steps of probability of the normal distribution, one of them 0, the
outermost -1 and 1. A group of neighbouring inputs of a row is divided by its largest magnitude, a bfloat16, and each weight is stored as
the nearest of the sixteen. Normally distributed weights lose less than by INT4 at equal size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import TYPE_CHECKING, Protocol

from model.quantization.int4 import ZERO, GroupCodec, pack_pairs, unpack_pairs
from model.quantization.weight_only import finite_fp32

if TYPE_CHECKING:
    from torch import Size, Tensor

OFFSET = 0.9677083  # probability of the outermost values, as in the authors' code


class FourBitCodec(Protocol):
    """Packs a matrix and unpacks it."""

    def encode(self, weight_OI: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes, two to a byte, and scales. Raise ValueError for a matrix that holds NaN or infinity."""

    def decode(self, integers: Tensor, scales: Tensor, shape: Size) -> Tensor:
        """Return the matrix as fp32."""


@cache
def nf4_values() -> tuple[float, ...]:
    """Return the sixteen values of NF4, ascending: seven below 0, 0, and eight above."""
    quantile = NormalDist().inv_cdf

    def half(count: int) -> list[float]:
        return [quantile(OFFSET + (0.5 - OFFSET) * step / count) for step in range(count)]

    above, below = half(8), half(7)
    largest = max(above + below)
    return tuple(sorted([*(-value / largest for value in below), 0.0, *(value / largest for value in above)]))


@dataclass(frozen=True)
class Nf4Codec:
    """Rounds each group of `size` neighbouring inputs to the values of NF4."""

    size: int

    def encode(self, weight_OI: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes [out, half of in] and bfloat16 scales [out, groups]."""
        import torch
        from torch.nn.functional import pad

        weight = finite_fp32(weight_OI)
        rows, columns = weight.shape
        group_OGS = pad(weight, (0, -columns % self.size)).view(rows, -1, self.size)
        scale_OG = group_OGS.abs().amax(dim=2).to(torch.bfloat16)
        divisor_OG1 = torch.where(scale_OG == 0, torch.inf, scale_OG.float())[:, :, None]
        values = torch.tensor(nf4_values())
        index_OGS = torch.bucketize(group_OGS / divisor_OG1, (values[1:] + values[:-1]) / 2)
        codes_OI = index_OGS.view(rows, -1)[:, :columns].to(torch.int8) - ZERO
        return pack_pairs(codes_OI), scale_OG

    def decode(self, integers: Tensor, scales: Tensor, shape: Size) -> Tensor:
        """Return the matrix as fp32 [out, in]."""
        import torch

        index_OI = unpack_pairs(integers, shape[1]).int() + ZERO
        steps_OI = scales.float().repeat_interleave(self.size, dim=1)[:, : shape[1]]
        return torch.tensor(nf4_values(), device=integers.device)[index_OI] * steps_OI


def codec_of(base: str, size: int) -> FourBitCodec:
    """Return the codec of a format, `nf4` or `int4`."""
    return Nf4Codec(size) if base == "nf4" else GroupCodec(size)
