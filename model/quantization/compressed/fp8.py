"""FP8: weights in E4M3 with a scale a row, and inputs in E4M3 with a scale a token, for cards that multiply in it."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from model.names import NAME_PATTERN, NOT_IDENTITY
from model.quantization.compressed.base import RoundedConfig


class Fp8Config(RoundedConfig):
    """FP8 weights, rounded to nearest, and FP8 inputs."""

    FORMAT: ClassVar[str] = "compressed-fp8"
    LABEL: ClassVar[str] = "FP8"
    SCHEME: ClassVar[str] = "FP8_DYNAMIC"

    kind: Literal["fp8"] = Field("fp8", description="names this kind of quantization: FP8 weights and inputs, for transformers and vLLM")
    name: str = Field("fp8", pattern=NAME_PATTERN, json_schema_extra=NOT_IDENTITY, description="its folder and its metrics' prefix; name")
