"""The kinds in the format compressed-tensors: AWQ, GPTQ, FP8 and W8A8. Cheap to import: no torch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field

from model.names import NAME_PATTERN, NOT_IDENTITY
from model.quantization.protocol import VariantBase

if TYPE_CHECKING:
    from model.networks.base import NetworkBase
    from model.quantization.compressed.quantizer import CompressedQuantizer

# Classes of transformers whose matrices are linear layers that the library finds; GPT-2's, for one, are not.
CLASSES = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen3ForCausalLM", "StableLmForCausalLM", "Starcoder2ForCausalLM")


class CompressedConfig(VariantBase):
    """The settings of one form; embeddings and head stay as they are. The library llmcompressor makes it, transformers reads it back."""

    FORMAT: ClassVar[str]
    LABEL: ClassVar[str]
    LIBRARIES: ClassVar[dict[str, str]] = {"llmcompressor": "compressed", "transformers": "compressed"}
    RESCALES: ClassVar[bool] = False  # whether weights are comparable with the model's only as products with what comes before
    HUB: ClassVar[tuple[str, ...]] = CLASSES

    def refusal(self, network: NetworkBase, tokenizer: str) -> str:
        """Return which class of transformers is in the way, or which width the groups do not divide."""
        form = network.hub_form()
        if form is None:
            return f"no class of transformers computes this model: {network.hub_refusal()}; leave the variant out"
        if form.hub.NAME not in self.HUB:
            return f"the model is a {form.hub.NAME}, and this takes {', '.join(self.HUB)}; leave the variant out"
        sizes = {
            "width": form.config.width,
            "feed_forward": form.config.feed_forward,
            "heads x head": form.config.heads * form.config.head_dim,
        }
        size = self.group
        if wrong := [f"{name}={value}" for name, value in sizes.items() if size and value % size]:
            return f"group_size={size} does not divide {', '.join(wrong)}; choose one that does"
        return ""

    @property
    def group(self) -> int:
        """Neighbouring inputs that share a scale; 0: all of a row."""
        return 0

    @abstractmethod
    def steps(self) -> list[Any]:
        """Return the library's modifiers, in their order."""

    def build(self) -> CompressedQuantizer:
        """Return the writer and reader."""
        from model.quantization.compressed.quantizer import CompressedQuantizer

        return CompressedQuantizer(self.from_entry(self.settings()))

    def settings(self) -> dict[str, Any]:
        """Return what decides its bytes."""
        return self.model_dump(mode="json", exclude={"kind", "name", *VariantBase.model_fields})

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> Self:
        """Return the settings that config.json records."""
        return cls(**{name: value for name, value in entry.items() if name in cls.model_fields})


class RoundedConfig(CompressedConfig):
    """A form whose weights are rounded to nearest, by one of the library's own schemes."""

    SCHEME: ClassVar[str]

    def steps(self) -> list[Any]:
        from llmcompressor.modifiers.quantization import QuantizationModifier

        return [QuantizationModifier(targets=["Linear"], scheme=self.SCHEME, ignore=["lm_head"])]


class CalibratedConfig(CompressedConfig):
    """A form calibrated on recorded rows of the training split."""

    CALIBRATES: ClassVar[bool] = True
    TOKENIZES: ClassVar[bool] = True

    samples: int = Field(128, ge=8, description="packed training rows that it is fitted to, drawn by the seed; rows")
    seed: int = Field(0, ge=0, description="seed of those rows; integer")


def groups(bits: int, size: int, *, symmetric: bool) -> dict[str, Any]:
    """Return the scheme of all linear layers: integers of `bits`, with one scale for each `size` neighbouring inputs of a row."""
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    weights = QuantizationArgs(num_bits=bits, type="int", symmetric=symmetric, strategy="group", group_size=size)
    return {"group_0": QuantizationScheme(targets=["Linear"], weights=weights)}


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


class Fp8Config(RoundedConfig):
    """FP8 weights, rounded to nearest, and FP8 inputs."""

    FORMAT: ClassVar[str] = "compressed-fp8"
    LABEL: ClassVar[str] = "FP8"
    SCHEME: ClassVar[str] = "FP8_DYNAMIC"

    kind: Literal["fp8"] = Field("fp8", description="names this kind of quantization: FP8 weights and inputs, for transformers and vLLM")
    name: str = Field("fp8", pattern=NAME_PATTERN, json_schema_extra=NOT_IDENTITY, description="its folder and its metrics' prefix; name")


class W8a8Config(RoundedConfig):
    """INT8 weights, rounded to nearest, and INT8 inputs."""

    FORMAT: ClassVar[str] = "compressed-w8a8"
    LABEL: ClassVar[str] = "W8A8"
    SCHEME: ClassVar[str] = "W8A8"

    kind: Literal["w8a8"] = Field("w8a8", description="names this kind of quantization: INT8 weights and inputs, for transformers and vLLM")
    name: str = Field("w8a8", pattern=NAME_PATTERN, json_schema_extra=NOT_IDENTITY, description="its folder and its metrics' prefix; name")
