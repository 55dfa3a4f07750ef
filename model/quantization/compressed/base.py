"""What the kinds in the format compressed-tensors have in common. Cheap to import: no torch, no library of quantization."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from model.quantization.base import VariantBase

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
