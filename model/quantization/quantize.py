"""Quantize a model directory to INT8, about a quarter of the size, and measure the rounding error.

Every weight is within half a step of its row's scale (see `int8.py` for the format); norms and biases stay fp32. The same model gives the
same bytes. The file is read back and compared before the function returns.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from model.networks.directory import CONFIG, ModelError, load_model
from model.quantization.config import QuantizeConfig
from model.quantization.int8 import FORMAT, INT8_WEIGHTS, LEVELS, SCALE, dequantize_rows, quantize_rows, read_quantization

if TYPE_CHECKING:
    from torch import Tensor

EMBEDDINGS = ("model.embed_tokens.weight", "model.embed_positions.weight", "lm_head.weight")
BIASES = ("model.position_bias.weight",)  # a few numbers for each head, and every attention score depends on them


def quantize(model_dir: Path, output: Path, config: QuantizeConfig) -> dict[str, float]:
    """Write the INT8 model of `model_dir` into `output` and return its metrics.

    Metrics: parameters and quantized_parameters (count), bytes_before and bytes_after (of the weight files), size_ratio, error_max
    (largest absolute error of a weight), error_max_steps (the same in steps of its row, at most 0.5), error_relative (mean over quantized
    matrices of |error| / |weight|, Frobenius norms).

    Raise ValueError, with the parameter's name, for weights that are not finite; ModelError for a model that is quantized already.
    """
    from safetensors.torch import load_file, save_file

    if read_quantization(model_dir) is not None:
        raise ModelError(f"{model_dir} is quantized already; quantize the full-precision model it came from")
    decoder = load_model(model_dir)
    stored: dict[str, Tensor] = {}
    errors: list[tuple[float, float, float]] = []
    quantized = 0
    for name, weight in decoder.state_dict().items():
        if weight.dim() != 2 or name in BIASES or (name in EMBEDDINGS and not config.embeddings):
            stored[name] = weight.contiguous()
            continue
        try:
            stored[name], stored[name + SCALE] = quantize_rows(weight)
        except ValueError as error:
            raise ValueError(f"{name} in {model_dir}: {error}") from error
        errors.append(_errors(weight, stored[name], stored[name + SCALE]))
        quantized += weight.numel()
    output.mkdir(parents=True, exist_ok=True)
    save_file(stored, output / INT8_WEIGHTS, metadata={"format": "pt"})
    _write_config(model_dir, output, config)
    back = load_file(output / INT8_WEIGHTS)
    changed = [name for name, tensor in stored.items() if not tensor.equal(back[name])]
    if changed:
        raise OSError(f"{output / INT8_WEIGHTS}: {changed[0]} reads back changed, so the disk cannot be trusted")
    before = (model_dir / "model.safetensors").stat().st_size
    after = (output / INT8_WEIGHTS).stat().st_size
    return {
        "parameters": float(sum(parameter.numel() for parameter in decoder.parameters())),
        "quantized_parameters": float(quantized),
        "bytes_before": float(before),
        "bytes_after": float(after),
        "size_ratio": after / before,
        "error_max": max(error[0] for error in errors),
        "error_max_steps": max(error[1] for error in errors),
        "error_relative": sum(error[2] for error in errors) / len(errors),
    }


def _errors(weight: Tensor, integers: Tensor, scale_O: Tensor) -> tuple[float, float, float]:
    """Return (largest error, largest error in steps, relative error) of one matrix."""
    # Rows stored as zeros have scale 0; they are left out of the steps, and the clamp only avoids dividing by it.
    difference = (dequantize_rows(integers, scale_O) - weight).abs()
    steps = (difference / scale_O.clamp_min(1e-38)[:, None])[scale_O > 0]
    norm = float(weight.norm())
    relative = float(difference.norm()) / norm if norm else 0.0
    return float(difference.max()), float(steps.max()) if steps.numel() else 0.0, relative


def _write_config(model_dir: Path, output: Path, config: QuantizeConfig) -> None:
    fields = json.loads((model_dir / CONFIG).read_text(encoding="utf-8"))
    fields["quantization"] = {
        "format": FORMAT,
        "bits": 8,
        "symmetric": True,
        "levels": LEVELS,
        "scales": "one a row: an output channel of a linear layer, a token of an embedding",
        "embeddings": config.embeddings,
    }
    (output / CONFIG).write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n", encoding="utf-8")
