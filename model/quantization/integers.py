"""Weights rounded to integers: INT4 with a scale for each group of inputs, INT8 with one for each row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from model.names import NAME_PATTERN, NOT_IDENTITY
from model.networks.directory import ModelError
from model.quantization.protocol import VariantBase
from model.quantization.weight_only import WeightOnlyQuantizer, finite_fp32

if TYPE_CHECKING:
    from torch import Size, Tensor

INT4_WEIGHTS = "model.int4.safetensors"
INT4_LEVELS = 7
ZERO = 8  # how the integer 0 is stored: the integers then fit an unsigned half byte


class Int4Config(VariantBase):
    """INT4, weights only, rounded to nearest, symmetric, with one scale for each group of inputs."""

    FORMAT: ClassVar[str] = "folio-int4-1"
    KEEPS_HEADS: ClassVar[bool] = True

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
            "levels": INT4_LEVELS,
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
    scale_OG = (group_OGS.abs().amax(dim=2) / INT4_LEVELS).to(torch.bfloat16)
    # Groups of zeros, and groups so small that their scale is not a normal number, are stored as zeros.
    scale_OG = torch.where(scale_OG < torch.finfo(torch.bfloat16).tiny, 0.0, scale_OG)
    divisor_OG1 = torch.where(scale_OG == 0, torch.inf, scale_OG.float())[:, :, None]
    integers_OGS = (group_OGS / divisor_OG1).round().clamp(-INT4_LEVELS, INT4_LEVELS).to(torch.int8)
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


INT8_WEIGHTS = "model.int8.safetensors"
LEVELS = 127


class Int8Config(VariantBase):
    """INT8, weights only, symmetric, with one scale for each output channel."""

    FORMAT: ClassVar[str] = "folio-int8-1"
    KEEPS_HEADS: ClassVar[bool] = True

    kind: Literal["int8"] = Field("int8", description="names this kind of quantization")
    name: str = Field("int8", pattern=NAME_PATTERN, json_schema_extra=NOT_IDENTITY, description="its folder and its metrics' prefix; name")
    embeddings: bool = Field(
        True, description="also quantize token and position embeddings and the head, with one scale for each token; yes or no"
    )

    def build(self) -> WeightOnlyQuantizer:
        """Return the quantizer that rounds by row."""
        settings = {
            "format": self.FORMAT,
            "bits": 8,
            "symmetric": True,
            "levels": LEVELS,
            "scales": "one a row: an output channel of a linear layer, a token of an embedding",
            "embeddings": self.embeddings,
        }
        return WeightOnlyQuantizer("INT8", INT8_WEIGHTS, RowCodec(), settings, self.embeddings)

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> Int8Config:
        """Return the settings that config.json records."""
        return cls(embeddings=entry.get("embeddings", True))


@dataclass(frozen=True)
class RowCodec:
    """Rounds each row by a scale of its own."""

    def encode(self, weight_OI: Tensor) -> tuple[Tensor, Tensor]:
        """Return int8 [out, in] and fp32 scales [out]."""
        return quantize_rows(weight_OI)

    def decode(self, integers: Tensor, scales: Tensor, shape: Size) -> Tensor:
        """Return the weight as fp32 [out, in]."""
        if integers.shape != shape or scales.shape != shape[:1]:
            raise ModelError(f"{INT8_WEIGHTS} holds integers {tuple(integers.shape)} and scales {tuple(scales.shape)} for {tuple(shape)}")
        return dequantize_rows(integers, scales)

    def steps(self, scales: Tensor, shape: Size) -> Tensor:
        """Return each row's scale as [out, 1]."""
        return scales[:, None]


def quantize_rows(weight_OI: Tensor) -> tuple[Tensor, Tensor]:
    """Return a weight as int8 [out, in] and its fp32 scales [out]; raise ValueError if it holds NaN or infinity."""
    import torch

    weight = finite_fp32(weight_OI)
    scale_O = weight.abs().amax(dim=1) / LEVELS
    # Rows of zeros, and rows so small that their scale is not a normal number, are stored as zeros.
    scale_O = torch.where(scale_O < torch.finfo(torch.float32).tiny, 0.0, scale_O)
    divisor_O1 = torch.where(scale_O == 0, torch.inf, scale_O)[:, None]
    return (weight / divisor_O1).round().clamp(-LEVELS, LEVELS).to(torch.int8), scale_O


def dequantize_rows(integers_OI: Tensor, scale_O: Tensor) -> Tensor:
    """Return the weight as fp32 [out, in]."""
    return integers_OI.to(scale_O.dtype) * scale_O[:, None]
