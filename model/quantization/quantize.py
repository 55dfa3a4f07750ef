"""Quantize a model directory by a variant's settings, and measure the rounding error."""

from __future__ import annotations

from pathlib import Path

from model.networks.directory import ModelError
from model.quantization.entry import read_quantization
from model.quantization.protocol import QuantizerConfig


def quantize(
    model_dir: Path, output: Path, config: QuantizerConfig, rows: Path | None = None, tokenizer: Path | None = None
) -> dict[str, float]:
    """Write the quantized model of `model_dir` into `output` and return its metrics.

    `rows`: packed training rows, for a kind that calibrates; `tokenizer`: its directory, for a kind that tokenizes.

    Every kind returns at least parameters (count), bytes_before and bytes_after (of the weight files), size_ratio, and error_max (largest
    absolute error of a weight) unless it scales weights. Raise ModelError for a model that is quantized already.
    """
    if read_quantization(model_dir) is not None:
        raise ModelError(f"{model_dir} is quantized already; quantize the full-precision model it came from")
    return config.build().write(model_dir, output, rows, tokenizer)
