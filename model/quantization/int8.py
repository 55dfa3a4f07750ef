"""INT8 weights, symmetric with one scale for each row: about a quarter of the size.

A row of a linear layer's weight [out, in] makes one output channel; a row of an embedding is one token. Each row w becomes integers q in
-127..127 and one fp32 scale s = max|w| / 127, so q x s is within s / 2 of w. On disk this takes a quarter of the bytes, and 4 more for
each row.
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

INT8_WEIGHTS = "model.int8.safetensors"
LEVELS = 127


class Int8Config(VariantBase):
    """INT8, weights only, symmetric, with one scale for each output channel."""

    FORMAT: ClassVar[str] = "folio-int8-1"

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
