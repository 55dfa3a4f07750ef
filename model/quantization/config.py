"""The kinds of quantization: the settings that a recipe may give, and which kind wrote a directory. Cheap to import: no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import Field

from model.networks.directory import ModelError
from model.quantization.compressed.awq import AwqConfig
from model.quantization.compressed.fp8 import Fp8Config
from model.quantization.compressed.gptq import GptqConfig
from model.quantization.compressed.w8a8 import W8a8Config
from model.quantization.entry import read_quantization
from model.quantization.gguf.config import GgufConfig
from model.quantization.int4 import Int4Config
from model.quantization.int8 import Int8Config
from model.quantization.onnx.config import OnnxConfig
from model.quantization.protocol import Quantizer, QuantizerConfig

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
    return kind.from_entry(entry).build()
