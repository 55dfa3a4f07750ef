"""AWQ (Lin et al., 2023): scales up the inputs that matter most before rounding, and the weights before them down.

Which matter is measured on calibration rows. What is computed before rounding stays the same.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from model.names import NAME_PATTERN, NOT_IDENTITY
from model.quantization.compressed.base import CalibratedConfig
from model.quantization.compressed.schemes import groups


class AwqConfig(CalibratedConfig):
    """AWQ, weights only, with a scale and a zero for each group of inputs."""

    FORMAT: ClassVar[str] = "compressed-awq"
    LABEL: ClassVar[str] = "AWQ"
    RESCALES: ClassVar[bool] = True
    HUB: ClassVar[tuple[str, ...]] = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen3ForCausalLM")

    kind: Literal["awq"] = Field("awq", description="names this kind of quantization: AWQ, opened by transformers and vLLM")
    name: str = Field("awq", pattern=NAME_PATTERN, json_schema_extra=NOT_IDENTITY, description="its folder and its metrics' prefix; name")
    bits: Literal[4] = Field(4, description="size of a weight; bits")
    group_size: int = Field(32, ge=8, le=1024, description="neighbouring inputs that share a scale; fewer: larger and more exact; count")

    @property
    def group(self) -> int:
        return self.group_size

    def steps(self) -> list[Any]:
        from llmcompressor.modifiers.quantization import QuantizationModifier
        from llmcompressor.modifiers.transform.awq import AWQModifier

        scheme = groups(self.bits, self.group_size, symmetric=False)
        return [AWQModifier(duo_scaling="both"), QuantizationModifier(config_groups=scheme, ignore=["lm_head"])]
