"""Open any model directory, in full precision or quantized; its config.json says which."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from model.quantization.config import quantizer_of

if TYPE_CHECKING:
    from model.networks.network import Network


def open_model(directory: Path) -> Network:
    """Load the network that training, quantization or export wrote into `directory`: fp32, on the CPU, in evaluation mode."""
    from model.networks.directory import load_model

    quantizer = quantizer_of(directory)
    return load_model(directory) if quantizer is None else quantizer.load(directory)
