"""Open any model directory, in full precision or quantized; its config.json says which."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from data.shards.durable import file_digest
from data.shards.model_folder import naming, present, require_regular
from model.adapters.opening import adapt, load_adapted
from model.adapters.protocol import FOLDER
from model.inference.chat_format import ROLES_FILE
from model.quantization.config import quantizer_of

if TYPE_CHECKING:
    from model.networks.network import Network

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", ROLES_FILE)


def open_model(directory: Path, adapter: Path | None = None) -> Network:
    """Load the network that training, quantization or export wrote into `directory`: fp32, in evaluation mode, on the GPU if there is one.

    `adapter`: the folder of an adapter that was trained on this model, to compute with. A GPU
    rounds otherwise than a CPU, so near ties may fall another way there.
    """
    import torch

    quantizer = quantizer_of(directory)
    if quantizer is None:
        network = load_adapted(directory)
    else:
        with naming(directory):
            network = quantizer.load(directory)
    if adapter is not None:
        adapt(network, adapter)
    return network.to("cuda") if torch.cuda.is_available() else network


def tokenizer_directory(directory: Path) -> Path:
    """Return the folder with a model's tokenizer: its own, or its release's."""
    return directory if present(directory / "tokenizer.json") else directory.parent


def fingerprint(model: Path, adapter: Path | None = None) -> str:
    """Return the first digits of the SHA-256 of the files that a model's replies follow from, which identify it in its output.

    These are a GGUF file alone, or a directory's weights, its separate adapter, configuration, tokenizer and chat template. `adapter`: the
    folder of the adapter that it computes with, which is hashed too.
    """
    digest = hashlib.sha256()
    for path in [model] if model.is_file() else [*_computed_with(model), *_files(adapter)]:
        require_regular(path, within=path != model)
        digest.update(path.name.encode() + bytes.fromhex(file_digest(path)))
    return f"folio-{digest.hexdigest()[:12]}"


def _computed_with(directory: Path) -> list[Path]:
    weights = sorted(path for path in directory.iterdir() if path.suffix == ".safetensors" or path.name == "config.json")
    words = [tokenizer_directory(directory) / name for name in TOKENIZER_FILES]
    return [*weights, *_files(directory / FOLDER), *(path for path in words if present(path))]


def _files(folder: Path | None) -> list[Path]:
    return [] if folder is None or not folder.is_dir() else sorted(path for path in folder.iterdir() if path.is_file())
