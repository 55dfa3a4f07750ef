"""The kinds of quantization: the settings that a recipe may give, and which kind wrote a directory. No torch, GGUF or ONNX is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field

from data.shards.model_folder import TOKENIZER_BYTES, naming, read_bytes
from model.names import NAME_PATTERN, NOT_IDENTITY
from model.networks.directory import CONFIG, ModelError, config_fields, load_model, read_config, read_fields, save_model
from model.quantization.compressed.config import AwqConfig, Fp8Config, GptqConfig, W8a8Config
from model.quantization.integers import Int4Config, Int8Config
from model.quantization.protocol import Quantizer, QuantizerConfig, VariantBase, read_quantization

if TYPE_CHECKING:
    from model.networks.base import NetworkBase
    from model.quantization.gguf.quantizer import GgufQuantizer
    from model.quantization.onnx.quantizer import OnnxQuantizer

Rounded = Literal["F32", "F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0"]
Mixed = Literal["Q6_K", "Q5_K_M", "Q5_K_S", "Q4_K_M", "Q4_K_S", "Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K"]
BYTES = "byte_level_bpe"
SMALL = ("Q5_1", "Q5_0", "Q4_1", "Q4_0")


class GgufConfig(VariantBase):
    """One GGUF file with weights, tokenizer and chat template, for llama.cpp, Ollama and LM Studio."""

    FORMAT: ClassVar[str] = "gguf"
    TOKENIZES: ClassVar[bool] = True
    LIBRARIES: ClassVar[dict[str, str]] = {"gguf": "gguf", "llama_cpp_py_sync": "gguf"}

    kind: Literal["gguf"] = Field("gguf", description="names this kind of quantization: a file for llama.cpp")
    name: str = Field("gguf", pattern=NAME_PATTERN, json_schema_extra=NOT_IDENTITY, description="its folder and its metrics' prefix; name")
    type: Rounded | Mixed = Field(
        "Q8_0",
        description="how matrices are stored: F32, F16, BF16, blocks of 32 (Q8_0 to Q4_0), or llama.cpp's mixtures of blocks of 256 (the "
        "K-quants), which it falls back from, to blocks of 32, where a matrix is not so wide",
    )
    embeddings: Literal["", "F16", "Q8_0"] = Field(
        "", description="how token embeddings and the head are stored; empty: as type says, but not below Q8_0"
    )

    def refusal(self, network: NetworkBase, tokenizer: str) -> str:
        """Return what llama.cpp does not compute, or cannot split text by."""
        from model.quantization.gguf.architectures import architecture_of

        if tokenizer != BYTES:
            return f"llama.cpp splits text otherwise than tokenizer.kind={tokenizer}; set tokenizer.kind={BYTES}, or leave it out"
        try:
            architecture_of(network.hub_form(), "the model")
        except ModelError as error:
            return str(error)
        return ""

    def tokenizer_refusal(self, tokenizer: Path) -> str:
        """Return that llama.cpp knows no rule that splits text as the tokenizer does, if so."""
        from model.quantization.gguf.vocabulary import word_rule

        try:
            with naming(tokenizer):
                word_rule(json.loads(read_bytes(tokenizer, TOKENIZER_BYTES)), tokenizer.parent)
        except ModelError as error:
            return str(error)
        return ""

    def build(self) -> GgufQuantizer:
        """Return the writer and reader of such files."""
        from model.quantization.gguf.quantizer import GgufQuantizer

        return GgufQuantizer(self.type, self.embeddings or ("Q8_0" if self.type in SMALL or "_K" in self.type else ""))

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> GgufConfig:
        """Return the settings that config.json records."""
        return cls(type=entry.get("type", "Q8_0"), embeddings=entry.get("embeddings", ""))


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


AnyKind = Int8Config | Int4Config | GptqConfig | AwqConfig | W8a8Config | Fp8Config | GgufConfig | OnnxConfig
VariantConfig = Annotated[AnyKind, Field(discriminator="kind")]
"""A quantized form of the released model, by `kind`."""
KINDS: dict[str, type[QuantizerConfig]] = {kind.FORMAT: kind for kind in get_args(AnyKind)}


def quantizer_of(directory: Path) -> Quantizer | None:
    """Return the quantizer that wrote `directory`; None for a model in full precision. Raise ModelError for an unknown format."""
    entry = read_quantization(directory)
    return None if entry is None else _quantizer(entry, directory)


def _quantizer(entry: Mapping[str, Any], directory: Path) -> Quantizer:
    kind = KINDS.get(str(entry.get("format")))
    if kind is None:
        raise ModelError(f"{directory}: quantization format is {entry.get('format')!r}; known formats are {', '.join(KINDS)}")
    with naming(directory / CONFIG):
        return kind.from_entry(entry).build()


def quantize(
    model: Path, output: Path, config: QuantizerConfig, rows: Path | None = None, tokenizer: Path | None = None
) -> dict[str, float]:
    """Write the quantized model of `model` into `output` and return its metrics.

    `rows`: packed training rows, for a kind that calibrates; `tokenizer`: its directory, for a kind that tokenizes.

    Every kind returns at least parameters (count), bytes_before and bytes_after (of the weight files), size_ratio, and error_max (largest
    absolute error of a weight) unless it scales weights. Raise ModelError for a model that is quantized already, or counted.
    """
    if read_quantization(model) is not None:
        raise ModelError(f"{model} is quantized already; quantize the full-precision model it came from")
    if (network := read_config(model)[0]).counted:
        raise ModelError(f"{model} is of kind={network.kind}, which holds counts, and nothing rounds those; release it as it is")
    if network.heads_ahead and not config.KEEPS_HEADS:
        known = config_fields(network, 0, None)
        extra = {name: value for name, value in read_fields(model / CONFIG).items() if name not in known}
        with TemporaryDirectory(prefix="folio-alone-") as folder:
            save_model(load_model(model, heads=False), alone := Path(folder), extra=extra)
            return config.build().write(alone, output, rows, tokenizer)
    return config.build().write(model, output, rows, tokenizer)
