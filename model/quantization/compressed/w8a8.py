"""W8A8: weights in INT8 with a scale a row, and inputs rounded to INT8 with a scale a token, so matrices multiply in integers."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from model.names import NAME_PATTERN, NOT_IDENTITY
from model.quantization.compressed.base import RoundedConfig


class W8a8Config(RoundedConfig):
    """INT8 weights, rounded to nearest, and INT8 inputs."""

    FORMAT: ClassVar[str] = "compressed-w8a8"
    LABEL: ClassVar[str] = "W8A8"
    SCHEME: ClassVar[str] = "W8A8"

    kind: Literal["w8a8"] = Field("w8a8", description="names this kind of quantization: INT8 weights and inputs, for transformers and vLLM")
    name: str = Field("w8a8", pattern=NAME_PATTERN, json_schema_extra=NOT_IDENTITY, description="its folder and its metrics' prefix; name")
