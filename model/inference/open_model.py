"""Open any model directory, in full precision or quantized; its config.json says which."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from model.quantization.config import quantizer_of

if TYPE_CHECKING:
    from model.networks.decoder import Decoder


def open_model(directory: Path) -> Decoder:
    """Load the decoder that training, quantization or export wrote into `directory`: fp32, on the CPU, in evaluation mode."""
    from model.networks.directory import load_model

    quantizer = quantizer_of(directory)
    return load_model(directory) if quantizer is None else quantizer.load(directory)
