"""INT8 weights: symmetric, one scale a row, and the file that holds them.

A row of a linear layer's weight [out, in] is what makes one output channel; a row of an embedding is one token. Each row
w becomes integers q in -127..127 and one fp32 scale s = max|w| / 127, so that q x s is within s / 2 of w.

Guarantee: the same weights give the same bytes. A row of zeros comes back as zeros.
Cost: a quarter of the bytes, and 4 more a row, on disk; in memory weights are turned back into fp32 when loaded, so
speed and memory are those of the fp32 model and the loss of quality is exactly that of the rounding.
When it can't: weights that are not finite raise ValueError; a file of another format raises ModelError.

The file is named apart from `model.safetensors` on purpose: a library that knows nothing of the scales must fail to
find weights rather than load integers as if they were weights.
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
    """int8 [out, in] and fp32 scales [out] of a weight; ValueError when it holds NaN or infinity."""
    import torch

    weight = weight_OI.detach().to("cpu", torch.float32)
    if not bool(torch.isfinite(weight).all()):
        raise ValueError(f"a weight of shape {tuple(weight.shape)} holds NaN or infinity: it cannot be quantized")
    scale_O = weight.abs().amax(dim=1) / LEVELS
    # Rows of zeros, and rows so small that their scale is no normal number, are stored as zeros.
    scale_O = torch.where(scale_O < torch.finfo(torch.float32).tiny, 0.0, scale_O)
    divisor_O1 = torch.where(scale_O == 0, torch.inf, scale_O)[:, None]
    return (weight / divisor_O1).round().clamp(-LEVELS, LEVELS).to(torch.int8), scale_O


def dequantize_rows(integers_OI: Tensor, scale_O: Tensor) -> Tensor:
    """fp32 [out, in]."""
    return integers_OI.to(scale_O.dtype) * scale_O[:, None]


def quantization_of(directory: Path) -> dict[str, Any] | None:
    """What `config.json` says of quantization; None for a model in full precision."""
    path = Path(directory) / CONFIG
    if not path.is_file():
        raise ModelError(f"{path} does not exist: {directory} is no model directory")
    marked = json.loads(path.read_text(encoding="utf-8")).get("quantization")
    return None if marked is None else dict(marked)


def dequantized(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by parameter name, each pair of integers and scales made one fp32 weight."""
    import torch

    plain: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.endswith(SCALE):
            continue
        if tensor.dtype == torch.int8:
            scale_O = tensors.get(name + SCALE)
            if scale_O is None:
                raise ModelError(f"{INT8_WEIGHTS} holds {name} as integers without {name + SCALE}: quantize it again")
            plain[name] = dequantize_rows(tensor, scale_O)
        else:
            plain[name] = tensor.to(torch.float32)
    return plain


def load_int8(directory: Path) -> Decoder:
    """The decoder of an INT8 directory, fp32 on the CPU, in evaluation mode."""
    from safetensors.torch import load_file

    from model.networks.decoder import Decoder

    marked = quantization_of(directory) or {}
    if marked.get("format") != FORMAT:
        raise ModelError(f"{directory}: quantization format is {marked.get('format')!r}; this loader knows {FORMAT!r}")
    path = Path(directory) / INT8_WEIGHTS
    if not path.is_file():
        raise ModelError(f"{path} does not exist: {directory} holds a configuration without weights")
    config, vocab_size = read_config(directory)
    decoder = Decoder(config, vocab_size)
    try:
        decoder.load_state_dict(dequantized(load_file(path)), strict=True)
    except RuntimeError as error:
        raise ModelError(f"{path} does not fit {CONFIG} beside it: {error}") from error
    return decoder.eval()
