"""Open any model directory, in full precision or quantized; its config.json says which."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from model.quantization.config import quantizer_of

if TYPE_CHECKING:
    from model.networks.network import Network


def open_model(directory: Path, adapter: Path | None = None) -> Network:
    """Load the network that training, quantization or export wrote into `directory`: fp32, in evaluation mode, on the GPU if there is one.

    `adapter`: the folder of an adapter that was trained on this model, to compute with. A GPU
    rounds otherwise than a CPU, so near ties may fall another way there.
    """
    import torch

    from model.adapters.opening import adapt, load_adapted

    quantizer = quantizer_of(directory)
    network = load_adapted(directory) if quantizer is None else quantizer.load(directory)
    if adapter is not None:
        adapt(network, adapter)
    return network.to("cuda") if torch.cuda.is_available() else network


def fingerprint(directory: Path, adapter: Path | None = None) -> str:
    """Return the first digits of the SHA-256 of a model's weights and configuration, which identify it in its output.

    `adapter`: the folder of the adapter that it computes with, which is hashed too.
    """
    digest = hashlib.sha256()
    files = [path for path in directory.iterdir() if path.suffix in (".safetensors", ".gguf") or path.name == "config.json"]
    for path in [*sorted(files), *sorted(() if adapter is None else adapter.iterdir())]:
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return f"folio-{digest.hexdigest()[:12]}"
