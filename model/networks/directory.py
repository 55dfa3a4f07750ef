"""Save and load a decoder as a directory: `model.safetensors` (fp32) and `config.json`.

A decoder that a Llama can express gets Hugging Face's Llama fields, and `transformers` loads it with the same logits. Any other (see
`DecoderConfig.llama_differences`) gets model_type `folio`, which transformers refuses to open. The same weights give the same bytes, each
file is written atomically, nothing is unpickled, and tied embeddings are stored once.

ModelError means that a directory holds no such model, or one that needs what this decoder does not compute; it names the file, the
field and its value.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from model.networks.config import DecoderConfig
from model.networks.llama import ModelError as ModelError
from model.networks.llama import decoder_config, llama_config

if TYPE_CHECKING:
    from torch import Tensor

    from model.networks.decoder import Decoder

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
CONFIG = "config.json"
FOLIO = "folio"
TOKENIZER_DIGEST = "tokenizer_digest"


def config_fields(config: DecoderConfig, vocab_size: int) -> dict[str, Any]:
    """Return the fields of config.json: Llama's where they describe this decoder, else every setting under model_type `folio`."""
    differences = config.llama_differences()
    if not differences:
        return llama_config(config, vocab_size)
    return {
        "model_type": FOLIO,
        "vocab_size": vocab_size,
        "decoder": config.model_dump(mode="json"),
        "differs_from_llama_in": list(differences),
        "torch_dtype": "float32",
    }


def read_config(directory: Path) -> tuple[DecoderConfig, int]:
    """Return the decoder's shape and vocabulary size from `directory/config.json`; raise ModelError if it is no such decoder."""
    path = Path(directory) / CONFIG
    try:
        fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{path} does not exist: {directory} is not a model directory") from None
    kind = fields.get("model_type")
    if kind not in (FOLIO, "llama"):
        raise ModelError(f"{path}: model_type is {kind!r}; only 'llama' and {FOLIO!r} can be loaded")
    try:
        config = DecoderConfig.model_validate(fields["decoder"]) if kind == FOLIO else decoder_config(fields, path)
        return config, int(fields["vocab_size"])
    except KeyError as missing:
        raise ModelError(f"{path}: {missing} is missing") from None
    except ValidationError as error:
        raise ModelError(f"{path} does not describe a decoder of this version: {error}") from error


def save_model(decoder: Decoder, directory: Path, *, extra: Mapping[str, Any] | None = None) -> None:
    """Write the decoder into `directory`, creating it if needed; `extra` adds fields to config.json, such as token ids."""
    save_tensors(decoder.state_dict(), decoder.config, decoder.vocab_size, directory, extra=extra)


def save_tensors(
    tensors: Mapping[str, Tensor],
    config: DecoderConfig,
    vocab_size: int,
    directory: Path,
    *,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write a model as `save_model` does, from tensors by parameter name; any type is stored as fp32."""
    import torch
    from safetensors.torch import save

    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    fp32 = {name: tensor.detach().to("cpu", torch.float32).contiguous() for name, tensor in tensors.items()}
    write_atomically(directory / WEIGHTS, save(fp32, metadata={"format": "pt"}))
    fields = {**config_fields(config, vocab_size), **(extra or {})}
    write_atomically(directory / CONFIG, (json.dumps(fields, indent=2, sort_keys=True) + "\n").encode())


def weight_files(directory: Path) -> list[Path]:
    """Return the file of the weights, or the files that an index names; raise ModelError if there is none."""
    path, index = Path(directory) / WEIGHTS, Path(directory) / INDEX
    if path.exists():
        return [path]
    if not index.exists():
        raise ModelError(f"{path} does not exist: {directory} has no weights")
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, LookupError, AttributeError) as error:
        raise ModelError(f"{index} is not an index of weights: {error}") from error
    files = [Path(directory) / name for name in names]
    for name, file in zip(names, files, strict=True):
        if Path(name).name != name or not file.exists():
            raise ModelError(f"{index} names {name}, which is not a file in that directory")
    return files


def model_files(directory: Path) -> list[Path]:
    """Return the files that define a model: configuration, weights, and the tokenizer if present."""
    config, tokenizer = Path(directory) / CONFIG, Path(directory) / "tokenizer.json"
    if not config.exists():
        raise ModelError(f"{config} does not exist: {directory} is not a model directory")
    return [config, *weight_files(directory), *([tokenizer] if tokenizer.exists() else [])]


def load_model(directory: Path) -> Decoder:
    """Load the decoder in `directory`, whose weights are one file or several with an index, as fp32, on the CPU, in evaluation mode."""
    from safetensors.torch import load_file

    from model.networks.decoder import Decoder

    config, vocab_size = read_config(directory)
    files = weight_files(directory)
    decoder = Decoder(config, vocab_size)
    tensors = {name: tensor for path in files for name, tensor in load_file(path).items()}
    if config.tied_embeddings:
        tensors.pop("lm_head.weight", None)
    try:
        decoder.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        raise ModelError(f"{files[0]} does not match the {CONFIG} beside it: {error}") from error
    return decoder.eval()


def write_atomically(path: Path, content: bytes) -> None:
    """Write to a temporary file, sync it to disk, then rename it, so a reader never sees a partial file."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
