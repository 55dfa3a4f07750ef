"""A decoder as a directory: `model.safetensors` (fp32) and `config.json`, in Hugging Face's Llama fields where they say it all.

Guarantee: what is saved loads here with the same logits, and in `transformers` too unless `DecoderConfig.llama_differences` says
why not; then config.json has model_type `folio`, which transformers refuses to open. Same weights, same bytes. Each file
appears whole or not at all. Nothing is unpickled. Tied embeddings are stored once.
When it can't: a directory that is not such a model, or asks for what this decoder does not do, raises ModelError,
which names the file, the field and its value.
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
OWN = "folio"
TOKENIZER_DIGEST = "tokenizer_digest"


def model_config(config: DecoderConfig, vocab_size: int) -> dict[str, Any]:
    """What config.json says of this decoder: Llama's fields where they can, else every choice under model_type `folio`."""
    differences = config.llama_differences()
    if not differences:
        return llama_config(config, vocab_size)
    return {
        "model_type": OWN,
        "vocab_size": vocab_size,
        "decoder": config.model_dump(mode="json"),
        "differs_from_llama_in": list(differences),
        "torch_dtype": "float32",
    }


def read_config(directory: Path) -> tuple[DecoderConfig, int]:
    """The decoder's shape and its vocabulary size, from `directory/config.json`; ModelError when it is not ours."""
    path = Path(directory) / CONFIG
    try:
        fields: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{path} does not exist: {directory} is no model directory") from None
    kind = fields.get("model_type")
    if kind not in (OWN, "llama"):
        raise ModelError(f"{path}: model_type is {kind!r}; this decoder is a llama, or one of {OWN}'s own")
    try:
        config = DecoderConfig.model_validate(fields["decoder"]) if kind == OWN else decoder_config(fields, path)
        return config, int(fields["vocab_size"])
    except KeyError as missing:
        raise ModelError(f"{path}: {missing} is missing") from None
    except ValidationError as error:
        raise ModelError(f"{path}: no decoder of this version: {error}") from error


def save_model(decoder: Decoder, directory: Path, *, extra: Mapping[str, Any] | None = None) -> None:
    """Write the decoder into `directory` (made if missing); `extra` adds fields to config.json, such as token ids."""
    save_tensors(decoder.state_dict(), decoder.config, decoder.vocab_size, directory, extra=extra)


def save_tensors(
    tensors: Mapping[str, Tensor],
    config: DecoderConfig,
    vocab_size: int,
    directory: Path,
    *,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """As `save_model`, from tensors by parameter name: whatever their type, they are stored as fp32."""
    import torch
    from safetensors.torch import save

    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    plain = {name: tensor.detach().to("cpu", torch.float32).contiguous() for name, tensor in tensors.items()}
    write_atomically(directory / WEIGHTS, save(plain, metadata={"format": "pt"}))
    fields = {**model_config(config, vocab_size), **(extra or {})}
    write_atomically(directory / CONFIG, (json.dumps(fields, indent=2, sort_keys=True) + "\n").encode())


def weight_files(directory: Path) -> list[Path]:
    """The file of the weights, or the files that an index beside them names; ModelError when there is none."""
    path, index = Path(directory) / WEIGHTS, Path(directory) / INDEX
    if path.exists():
        return [path]
    if not index.exists():
        raise ModelError(f"{path} does not exist: {directory} holds no weights")
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, LookupError, AttributeError) as error:
        raise ModelError(f"{index} is no index of weights: {error}") from error
    files = [Path(directory) / name for name in names]
    for name, file in zip(names, files, strict=True):
        if Path(name).name != name or not file.exists():
            raise ModelError(f"{index} names {name}, which is no file beside it")
    return files


def model_files(directory: Path) -> list[Path]:
    """All files that say what a model directory holds: configuration, weights, and the tokenizer if it is there."""
    config, tokenizer = Path(directory) / CONFIG, Path(directory) / "tokenizer.json"
    if not config.exists():
        raise ModelError(f"{config} does not exist: {directory} is no model directory")
    return [config, *weight_files(directory), *([tokenizer] if tokenizer.exists() else [])]


def load_model(directory: Path) -> Decoder:
    """The decoder saved in `directory`, in one file or in several with an index, as fp32, on the CPU, in evaluation mode."""
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
        raise ModelError(f"{files[0]} does not fit {CONFIG} beside it: {error}") from error
    return decoder.eval()


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside, flush to disk, then rename: a reader never sees half a file."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)
