"""INT4 weights, rounded to nearest, symmetric with one scale for each group along the input: about a seventh of the size.

Each row of a weight [out, in] is cut into groups of `group_size` neighbouring inputs; the last may be shorter. A group w becomes integers
q in -7..7 and one scale s = max|w| / 7, so q x s is within s / 2 of w. One large weight spoils the resolution of its own group only.

Symmetric, because trained weights lie evenly around zero. At equal size, groups of 64 with a minimum and a scale have steps 7 % smaller
than groups of 32 with a scale alone (normally distributed weights); in return zero would not be stored exactly, and a kernel that
multiplies packed weights would need a second term. -8 is not used: with it, a weight of the other sign would be out of reach.

Scales are bfloat16, rounded before the weights are, so their rounding costs the largest weight at most 0.03 steps and the others nothing;
float16 would overflow or vanish for weights that fp32 holds. Two integers share a byte, each stored as q + 8, the even column in the low
half; a row of odd length ends in a zero. Groups of 32 take 4.5 bits for each weight, groups of 64 take 4.25.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from model.names import NAME_PATTERN, NOT_IDENTITY
from model.networks.directory import ModelError
from model.quantization.base import VariantBase
from model.quantization.weight_only import WeightOnlyQuantizer, finite_fp32

if TYPE_CHECKING:
    from torch import Size, Tensor

INT4_WEIGHTS = "model.int4.safetensors"
LEVELS = 7
ZERO = 8  # how the integer 0 is stored: the integers then fit an unsigned half byte


class Int4Config(VariantBase):
    """INT4, weights only, rounded to nearest, symmetric, with one scale for each group of inputs."""

    FORMAT: ClassVar[str] = "folio-int4-1"

    kind: Literal["int4"] = Field("int4", description="names this kind of quantization")
    name: str = Field("int4", pattern=NAME_PATTERN, json_schema_extra=NOT_IDENTITY, description="its folder and its metrics' prefix; name")
    group_size: int = Field(32, ge=2, le=1024, description="neighbouring inputs that share a scale; fewer: larger and more exact; count")
    embeddings: bool = Field(True, description="also quantize token and position embeddings and the head; yes or no")

    def build(self) -> WeightOnlyQuantizer:
        """Return the quantizer that rounds by group."""
        settings = {
            "format": self.FORMAT,
            "bits": 4,
            "symmetric": True,
            "levels": LEVELS,
            "group_size": self.group_size,
            "scales": "one for each group of neighbouring inputs of a row, bfloat16",
            "packing": "two to a byte as integer + 8, the even column in the low half",
            "embeddings": self.embeddings,
        }
        return WeightOnlyQuantizer("INT4", INT4_WEIGHTS, GroupCodec(self.group_size), settings, self.embeddings)

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> Int4Config:
        """Return the settings that config.json records. Raise ModelError if there is no group size."""
        if not isinstance(entry.get("group_size"), int):
            raise ModelError(f"quantization.group_size={entry.get('group_size')!r} in config.json isn't a number; quantize the model again")
        return cls(group_size=entry["group_size"], embeddings=entry.get("embeddings", True))


@dataclass(frozen=True)
class GroupCodec:
    """Rounds each group of `size` neighbouring inputs by a scale of its own."""

    size: int

    def encode(self, weight_OI: Tensor) -> tuple[Tensor, Tensor]:
        """Return packed integers [out, half of in] and bfloat16 scales [out, groups]."""
        integers_OI, scale_OG = quantize_groups(weight_OI, self.size)
        return pack_pairs(integers_OI), scale_OG

    def decode(self, integers: Tensor, scales: Tensor, shape: Size) -> Tensor:
        """Return the weight as fp32 [out, in]."""
        rows, columns = shape
        if integers.shape != (rows, -(-columns // 2)) or scales.shape != (rows, -(-columns // self.size)):
            raise ModelError(
                f"{INT4_WEIGHTS} holds bytes {tuple(integers.shape)} and scales {tuple(scales.shape)} for a weight of {tuple(shape)} in "
                f"groups of {self.size}; quantize the model again"
            )
        return unpack_pairs(integers, columns).float() * self.steps(scales, shape)

    def steps(self, scales: Tensor, shape: Size) -> Tensor:
        """Return each weight's scale as fp32 [out, in]."""
        return scales.float().repeat_interleave(self.size, dim=1)[:, : shape[1]]


def quantize_groups(weight_OI: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return a weight as integers [out, in] and bfloat16 scales [out, groups]; raise ValueError if it holds NaN or infinity."""
    import torch
    from torch.nn.functional import pad

    weight = finite_fp32(weight_OI)
    rows, columns = weight.shape
    group_OGS = pad(weight, (0, -columns % size)).view(rows, -1, size)
    scale_OG = (group_OGS.abs().amax(dim=2) / LEVELS).to(torch.bfloat16)
    # Groups of zeros, and groups so small that their scale is not a normal number, are stored as zeros.
    scale_OG = torch.where(scale_OG < torch.finfo(torch.bfloat16).tiny, 0.0, scale_OG)
    divisor_OG1 = torch.where(scale_OG == 0, torch.inf, scale_OG.float())[:, :, None]
    integers_OGS = (group_OGS / divisor_OG1).round().clamp(-LEVELS, LEVELS).to(torch.int8)
    return integers_OGS.view(rows, -1)[:, :columns], scale_OG


def pack_pairs(integers_OI: Tensor) -> Tensor:
    """Return integers in -8..7 as bytes [out, half of in], two to a byte."""
    import torch
    from torch.nn.functional import pad

    half_bytes = pad(integers_OI, (0, integers_OI.shape[1] % 2)).add(ZERO).to(torch.uint8)
    return half_bytes[:, 0::2] | half_bytes[:, 1::2] << 4


def unpack_pairs(bytes_OH: Tensor, columns: int) -> Tensor:
    """Return the integers of packed bytes as int8 [out, columns]."""
    import torch

    pairs_OH2 = torch.stack([bytes_OH & 15, bytes_OH >> 4], dim=2)
    return pairs_OH2.flatten(1)[:, :columns].to(torch.int8) - ZERO
