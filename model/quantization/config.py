"""The kinds of quantization: the settings that a recipe may give, and which kind wrote a directory. Cheap to import: no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import Field

from model.networks.directory import ModelError, read_config
from model.quantization.compressed.config import AwqConfig, Fp8Config, GptqConfig, W8a8Config
from model.quantization.gguf.config import GgufConfig
from model.quantization.integers import Int4Config, Int8Config
from model.quantization.onnx.config import OnnxConfig
from model.quantization.protocol import Quantizer, QuantizerConfig, read_quantization

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


def quantize(
    model_dir: Path, output: Path, config: QuantizerConfig, rows: Path | None = None, tokenizer: Path | None = None
) -> dict[str, float]:
    """Write the quantized model of `model_dir` into `output` and return its metrics.

    `rows`: packed training rows, for a kind that calibrates; `tokenizer`: its directory, for a kind that tokenizes.

    Every kind returns at least parameters (count), bytes_before and bytes_after (of the weight files), size_ratio, and error_max (largest
    absolute error of a weight) unless it scales weights. Raise ModelError for a model that is quantized already, or counted.
    """
    if read_quantization(model_dir) is not None:
        raise ModelError(f"{model_dir} is quantized already; quantize the full-precision model it came from")
    if (network := read_config(model_dir)[0]).counted:
        raise ModelError(f"{model_dir} is of kind={network.kind}, which holds counts, and nothing rounds those; release it as it is")
    return config.build().write(model_dir, output, rows, tokenizer)
