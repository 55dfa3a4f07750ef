"""GPTQ (Frantar et al., 2022): round a matrix column by column, and adjust the remaining columns to compensate for each error.

How much an error costs is measured on calibration rows, by the inputs that the matrix gets.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from model.names import NAME_PATTERN, NOT_IDENTITY
from model.quantization.compressed.base import CalibratedConfig
from model.quantization.compressed.schemes import groups


class GptqConfig(CalibratedConfig):
    """GPTQ, weights only, symmetric, with one scale for each group of inputs."""

    FORMAT: ClassVar[str] = "compressed-gptq"
    LABEL: ClassVar[str] = "GPTQ"

    kind: Literal["gptq"] = Field("gptq", description="names this kind of quantization: GPTQ, opened by transformers and vLLM")
    name: str = Field("gptq", pattern=NAME_PATTERN, json_schema_extra=NOT_IDENTITY, description="its folder and its metrics' prefix; name")
    bits: Literal[4, 8] = Field(4, description="size of a weight; bits")
    group_size: int = Field(32, ge=8, le=1024, description="neighbouring inputs that share a scale; fewer: larger and more exact; count")
    damping: float = Field(
        0.01, gt=0, lt=1, description="added to the diagonal of the inputs' covariance, as a share of its mean; fraction"
    )

    @property
    def group(self) -> int:
        return self.group_size

    def steps(self) -> list[Any]:
        from llmcompressor.modifiers.gptq import GPTQModifier

        scheme = groups(self.bits, self.group_size, symmetric=True)
        return [GPTQModifier(config_groups=scheme, ignore=["lm_head"], dampening_frac=self.damping)]
