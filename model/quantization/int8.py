"""INT8 weights, symmetric with one scale for each row, and the file that holds them.

A row of a linear layer's weight [out, in] makes one output channel; a row of an embedding is one token. Each row w becomes integers q in
-127..127 and one fp32 scale s = max|w| / 127, so q x s is within s / 2 of w. The same weights give the same bytes.

On disk this takes a quarter of the bytes, and 4 more for each row. On loading, weights become fp32 again, so speed and memory are those
of the fp32 model, and any loss of quality comes from the rounding alone.

The file is deliberately not called `model.safetensors`: a library that knows nothing of the scales must find no weights rather than load
integers as weights.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.networks.directory import CONFIG, ModelError, read_config

if TYPE_CHECKING:
    from torch import Tensor

    from model.networks.decoder import Decoder

INT8_WEIGHTS = "model.int8.safetensors"
SCALE = "_scale"
FORMAT = "folio-int8-1"
LEVELS = 127


def quantize_rows(weight_OI: Tensor) -> tuple[Tensor, Tensor]:
    """Return a weight as int8 [out, in] and its fp32 scales [out]; raise ValueError if it holds NaN or infinity."""
    import torch

    weight = weight_OI.detach().to("cpu", torch.float32)
    if not bool(torch.isfinite(weight).all()):
        raise ValueError(f"a weight of shape {tuple(weight.shape)} holds NaN or infinity and cannot be quantized")
    scale_O = weight.abs().amax(dim=1) / LEVELS
    # Rows of zeros, and rows so small that their scale is not a normal number, are stored as zeros.
    scale_O = torch.where(scale_O < torch.finfo(torch.float32).tiny, 0.0, scale_O)
    divisor_O1 = torch.where(scale_O == 0, torch.inf, scale_O)[:, None]
    return (weight / divisor_O1).round().clamp(-LEVELS, LEVELS).to(torch.int8), scale_O


def dequantize_rows(integers_OI: Tensor, scale_O: Tensor) -> Tensor:
    """Return the weight as fp32 [out, in]."""
    return integers_OI.to(scale_O.dtype) * scale_O[:, None]


def read_quantization(directory: Path) -> dict[str, Any] | None:
    """Return the quantization entry of `config.json`; None for a model in full precision."""
    path = Path(directory) / CONFIG
    if not path.is_file():
        raise ModelError(f"{path} does not exist: {directory} is not a model directory")
    entry = json.loads(path.read_text(encoding="utf-8")).get("quantization")
    return None if entry is None else dict(entry)


def dequantize(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return fp32 tensors by parameter name; each pair of integers and scales becomes one weight."""
    import torch

    fp32: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.endswith(SCALE):
            continue
        if tensor.dtype == torch.int8:
            scale_O = tensors.get(name + SCALE)
            if scale_O is None:
                raise ModelError(f"{INT8_WEIGHTS} holds {name} as integers without {name + SCALE}; quantize the model again")
            fp32[name] = dequantize_rows(tensor, scale_O)
        else:
            fp32[name] = tensor.to(torch.float32)
    return fp32


def load_int8(directory: Path) -> Decoder:
    """Load the decoder of an INT8 directory as fp32, on the CPU, in evaluation mode; raise ModelError for another format."""
    from safetensors.torch import load_file

    from model.networks.decoder import Decoder

    entry = read_quantization(directory) or {}
    if entry.get("format") != FORMAT:
        raise ModelError(f"{directory}: quantization format is {entry.get('format')!r}; this loader knows {FORMAT!r}")
    path = Path(directory) / INT8_WEIGHTS
    if not path.is_file():
        raise ModelError(f"{path} does not exist: {directory} has a configuration but no weights")
    config, vocab_size = read_config(directory)
    decoder = Decoder(config, vocab_size)
    try:
        decoder.load_state_dict(dequantize(load_file(path)), strict=True)
    except RuntimeError as error:
        raise ModelError(f"{path} does not match the {CONFIG} beside it: {error}") from error
    return decoder.eval()
