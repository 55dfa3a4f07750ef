"""Save and load a network as a directory: `model.safetensors` (fp32, or whole numbers that were counted) and `config.json`.

A network that a transformers class can represent (see `hub_form`) is written as that class, and `transformers` loads it
with the same logits. Any other gets model_type `folio`, which transformers refuses to open, and so does a network with an adapter that
does not merge, which is stored next to the weights (`model/adapters/opening.py`). The same weights give the same bytes, each
file is written atomically, nothing is unpickled, and tied embeddings are stored once.

ModelError means that a directory has no such model, or one that no network here computes; it names the file, the
field and its value.

Bind a model to its tokenizer by the tokenizer's SHA-256 in config.json.

Code that uses a model with a tokenizer checks it, so a model trained here never sees another tokenizer's ids, even where the
vocabularies have the same size. A model from elsewhere names no tokenizer and passes unchecked.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from model.networks.base import ModelError as ModelError
from model.networks.base import NetworkBase
from model.networks.config import KINDS
from model.networks.hub.protocol import HubForm
from model.networks.hub.registry import BY_MODEL_TYPE

if TYPE_CHECKING:
    from torch import Tensor

    from model.networks.network import Network

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt")
CONFIG = "config.json"
HEADS = "heads.safetensors"  # next to the weights: heads that output one number (see `scalar_heads.py`)
FOLIO = "folio"
TOKENIZER_DIGEST = "tokenizer_digest"
APART = "adapter"  # in config.json: the settings of an adapter that the network computes with and the weights do not have


def config_fields(config: NetworkBase, vocab_size: int, form: HubForm | None) -> dict[str, Any]:
    """Return the fields of config.json: those of the class of transformers, or, without one, every setting.

    The settings stand under the network's kind, with model_type `folio`.
    """
    if form is not None:
        return form.fields(vocab_size)
    return {
        "model_type": FOLIO,
        "vocab_size": vocab_size,
        config.kind: config.model_dump(mode="json", exclude={"kind"}),
        "torch_dtype": "float32",
    }


def read_config(directory: Path) -> tuple[NetworkBase, int]:
    """Return the network's config and vocabulary size from `directory/config.json`; raise ModelError if it names none."""
    config, vocab_size, _ = _read(Path(directory))
    return config, vocab_size


def _read(directory: Path) -> tuple[NetworkBase, int, HubForm | None]:
    """Return the config in config.json and the form of the weights next to it: None for folio's own."""
    path = directory / CONFIG
    fields = _fields(path)
    model_type = fields.get("model_type")
    if model_type != FOLIO and model_type not in BY_MODEL_TYPE:
        raise ModelError(f"{path}: model_type is {model_type!r}; those that can be loaded are {', '.join((FOLIO, *BY_MODEL_TYPE))}")
    theirs = {} if model_type == FOLIO else {ours: name for name, ours in BY_MODEL_TYPE[model_type].FIELDS.items()}
    try:
        if not isinstance(vocab_size := fields["vocab_size"], int):
            raise ModelError(f"{path}: vocab_size is {vocab_size!r}, not a whole number; fetch the model again")
        if model_type == FOLIO:
            return _own_config(fields, path), vocab_size, None
        hub = BY_MODEL_TYPE[model_type]
        method = (fields.get("quantization_config") or {}).get("quant_method")
        if method and "quantization" not in fields:  # a variant of ours has that entry, and its kind reads the weights
            raise ModelError(f"{path}: quantization_config says that the weights are in {method!r}; take the model in full precision")
        config = hub.decoder(fields, path)
        return config, vocab_size, HubForm(hub, config)
    except KeyError as missing:
        raise ModelError(f"{path}: {missing} is missing") from None
    except ValidationError as error:
        wrong = "; ".join(_said(each, theirs) for each in error.errors())
        raise ModelError(f"{path} does not describe a network that this version has: {wrong}") from error


def _fields(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{path} does not exist: {path.parent} is not a model directory") from None
    except ValueError as error:  # what is no UTF-8 is a ValueError, too
        raise ModelError(f"{path} is not JSON: {error}; fetch the model again") from error
    if not isinstance(fields, dict):
        raise ModelError(f"{path} holds a {type(fields).__name__}, not the fields of a model; fetch the model again")
    return fields


def _said(wrong: ErrorDetails, theirs: Mapping[str, str]) -> str:
    """Return what is wrong with which value, called as config.json has it; a problem of several fields names them itself."""
    field, message = ".".join(map(str, wrong["loc"])), wrong["msg"].removeprefix("Value error, ")
    return f"{theirs.get(field, field)}={wrong['input']!r}: {message}" if field else message


def _own_config(fields: Mapping[str, Any], path: Path) -> NetworkBase:
    kind = next((kind for kind in KINDS if kind in fields), None)
    if kind is None:
        raise ModelError(f"{path}: none of the networks {', '.join(KINDS)} is described; it was written by another version of folio")
    return KINDS[kind].model_validate(fields[kind])


def save_model(network: Network, directory: Path, *, extra: Mapping[str, Any] | None = None) -> None:
    """Write the network into `directory`, creating it if needed; `extra` adds fields to config.json, such as token ids."""
    save_tensors(network.state_dict(), network.config, network.vocab_size, directory, extra=extra)


def save_tensors(
    tensors: Mapping[str, Tensor],
    config: NetworkBase,
    vocab_size: int,
    directory: Path,
    *,
    extra: Mapping[str, Any] | None = None,
    apart: Mapping[str, Any] | None = None,
) -> None:
    """Write a model as `save_model` does, from tensors by parameter name; counts stay whole numbers, all else is stored as fp32.

    `apart`: settings of an adapter that the weights do not have.
    """
    import torch
    from safetensors.torch import save

    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    form = config.hub_form()
    form = form if form is not None and form.hub.EXACT and apart is None else None
    kept = {name: tensor.detach().to("cpu", torch.float32 if tensor.is_floating_point() else None) for name, tensor in tensors.items()}
    stored = {name: tensor.contiguous() for name, tensor in (kept if form is None else form.to_hub(kept)).items()}
    write_atomically(directory / WEIGHTS, save(stored, metadata={"format": "pt"}))
    fields = {**config_fields(config, vocab_size, form), **(extra or {}), **({} if apart is None else {APART: dict(apart)})}
    write_atomically(directory / CONFIG, (json.dumps(fields, indent=2, sort_keys=True) + "\n").encode())


def weight_files(directory: Path) -> list[Path]:
    """Return the file of the weights, or the files that an index names; raise ModelError if there is none."""
    path, index = Path(directory) / WEIGHTS, Path(directory) / INDEX
    if path.exists():
        return [path]
    if not index.exists():
        pickled = sorted(file.name for pattern in PICKLES for file in Path(directory).glob(pattern))
        why = f"{pickled[0]} there is a pickle, which can run code when it is read; convert it to safetensors" if pickled else ""
        raise ModelError(f"{path} does not exist: {why or f'{directory} has no weights'}")
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


def read_apart(directory: Path) -> dict[str, Any] | None:
    """Return the settings of a model directory's separate adapter; None without one."""
    settings = _fields(directory / CONFIG).get(APART)
    return None if settings is None else dict(settings)


def load_model(directory: Path, *, dropout: bool = True, bare: bool = False) -> Network:
    """Load the network in `directory`, whose weights are one file or several with an index, as fp32, on the CPU, in evaluation mode.

    `dropout`: whether it drops in training what its config says; if not, nothing. `bare`: without the adapter that it holds apart; else
    raise ModelError for a directory with one, whose weights alone are another model.

    It is built on the meta device, so nothing is drawn and then overwritten.
    """
    from safetensors.torch import load_file

    from model.networks.meta import fill, meta_network

    if not bare and (settings := read_apart(Path(directory))) is not None:
        raise ModelError(
            f"{directory} computes with an adapter that does not merge into its weights (adapter.kind={settings.get('kind')}), so it can "
            "be talked to, evaluated and exported, but neither tuned further nor quantized; start from the model that it was tuned from"
        )
    config, vocab_size, form = _read(Path(directory))
    files = weight_files(directory)
    network = meta_network(config if dropout else config.without_dropout, vocab_size)
    tensors = {name: tensor for path in files for name, tensor in load_file(path).items()}
    for copied in network.tied_names():
        tensors.pop(copied, None)
    if form is not None:
        tensors = form.from_hub({name: tensor.float() for name, tensor in tensors.items()})
    try:
        fill(network, tensors)
    except RuntimeError as error:
        raise ModelError(f"{files[0]} does not match the {CONFIG} beside it: {error}") from error
    return network.eval()


def write_atomically(path: Path, content: bytes) -> None:
    """Write to a temporary file, sync it to disk, then rename it, so a reader never sees a partial file."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def flush_to_disk(path: Path) -> None:
    """Wait until a file, or a folder's list of files, is on the disk itself."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_tokenizer_digest(directory: Path) -> str | None:
    """Return the SHA-256 (hex) of the tokenizer.json that the model in `directory` was trained with; None if not recorded."""
    path = Path(directory) / CONFIG
    if not path.is_file():
        raise ModelError(f"{path} does not exist: {directory} is not a model directory")
    digest = json.loads(path.read_text(encoding="utf-8")).get(TOKENIZER_DIGEST)
    return None if digest is None else str(digest)


def require_tokenizer(directory: Path, digest: str) -> None:
    """Raise ModelError if the model in `directory` was trained with another tokenizer than the one with this SHA-256."""
    trained_with = read_tokenizer_digest(directory)
    if trained_with is not None and trained_with != digest:
        raise ModelError(
            f"{directory} was trained with tokenizer {trained_with[:12]}, but tokenizer {digest[:12]} is in use, so the same ids mean "
            "different text; use the tokenizer that it was trained with, or train it again with this one"
        )
