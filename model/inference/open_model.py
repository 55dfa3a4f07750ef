"""The one loader: a model directory in full precision or INT8, told apart by what its config.json says.

Guarantee: an fp32 decoder in evaluation mode on the CPU, whatever the directory holds. Nothing is unpickled.
When it can't: ModelError, which names the file and the way out.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from model.quantization.int8 import load_int8, quantization_of

if TYPE_CHECKING:
    from model.networks.decoder import Decoder


def open_model(directory: Path) -> Decoder:
    """The decoder in `directory`: one that training, quantization or export wrote."""
    from model.networks.directory import load_model

    if quantization_of(directory) is not None:
        return load_int8(directory)
    return load_model(directory)
