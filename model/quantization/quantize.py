"""A model directory made INT8: about a quarter of the size, and how much each weight lost.

Guarantee: every weight comes back within half a step of its row (see `model/quantization/int8.py` for the format); norms and
biases stay fp32. Same model, same bytes. What was written is read back and compared before the function returns.
Cost: one pass over the weights.
When it can't: weights that are not finite raise ValueError with the parameter's name; a directory that is INT8 already
raises ModelError.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from model.networks.directory import CONFIG, ModelError, load_model
from model.quantization.config import QuantizeConfig
from model.quantization.int8 import FORMAT, INT8_WEIGHTS, LEVELS, SCALE, dequantize_rows, quantization_of, quantize_rows

if TYPE_CHECKING:
    from torch import Tensor

EMBEDDINGS = ("model.embed_tokens.weight", "model.embed_positions.weight", "lm_head.weight")
BIASES = ("model.position_bias.weight",)  # a few numbers for each head, whose rounding every score would feel


def quantize(model_dir: Path, output: Path, config: QuantizeConfig) -> dict[str, float]:
    """Write the INT8 model of `model_dir` into `output`.

    Metrics: parameters and quantized_parameters (count), bytes_before and bytes_after (of the weights' files),
    size_ratio, error_max (largest absolute difference of a weight), error_max_steps (the same in steps of its row: at
    most 0.5), error_relative (mean over quantized matrices of |difference| / |weight|, Frobenius norms).
    """
    from safetensors.torch import load_file, save_file

    if quantization_of(model_dir) is not None:
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
        raise OSError(f"{output / INT8_WEIGHTS}: {changed[0]} reads back changed; the disk is not to be trusted")
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
    """(largest difference, the same in steps, relative difference) of one matrix."""
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
