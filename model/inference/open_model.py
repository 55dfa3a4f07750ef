"""Open any model directory, in full precision or INT8; its config.json says which."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from model.quantization.int8 import load_int8, read_quantization

if TYPE_CHECKING:
    from model.networks.decoder import Decoder


def open_model(directory: Path) -> Decoder:
    """Load the decoder that training, quantization or export wrote into `directory`: fp32, on the CPU, in evaluation mode."""
    from model.networks.directory import load_model

    if read_quantization(directory) is not None:
        return load_int8(directory)
    return load_model(directory)
