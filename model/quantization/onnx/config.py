"""Settings of an ONNX variant. Cheap to import: no torch, no library of ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from model.names import NAME_PATTERN, NOT_IDENTITY
from model.quantization.protocol import VariantBase

if TYPE_CHECKING:
    from model.networks.base import NetworkBase
    from model.quantization.onnx.quantizer import OnnxQuantizer


class OnnxConfig(VariantBase):
    """The model as one ONNX graph in fp32, for onnxruntime and what is built on it. Nothing is rounded."""

    FORMAT: ClassVar[str] = "onnx"
    LIBRARIES: ClassVar[dict[str, str]] = {name: "onnx" for name in ("onnx", "onnxruntime", "onnxscript", "transformers")}

    kind: Literal["onnx"] = Field("onnx", description="names this kind of form: an ONNX graph in fp32, for onnxruntime")
    name: str = Field("onnx", pattern=NAME_PATTERN, json_schema_extra=NOT_IDENTITY, description="its folder and its metrics' prefix; name")

    def refusal(self, network: NetworkBase, tokenizer: str) -> str:
        """Return why no class of transformers, which the graph is taken from, computes the network."""
        from model.quantization.onnx.quantizer import unexported

        return unexported(network)

    def build(self) -> OnnxQuantizer:
        """Return the writer and reader of such graphs."""
        from model.quantization.onnx.quantizer import OnnxQuantizer

        return OnnxQuantizer()

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> OnnxConfig:
        """Return the settings that config.json records."""
        return cls()
