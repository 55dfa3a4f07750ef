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
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from data.shards.durable import write_atomically
from data.shards.model_folder import MOST_TOKENS, naming, present, read_json, require_regular
from model.networks.base import AHEAD, NetworkBase
from model.networks.base import ModelError as ModelError
from model.networks.config import KINDS
from model.networks.hub.protocol import HubForm
from model.networks.hub.registry import BY_MODEL_TYPE
from model.networks.tensor_files import LazyTensors, load_tensors, tensor_shapes, write_tensors

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from model.networks.network import Network

WEIGHTS = "model.safetensors"
FLOATS = ("F64", "F32", "F16", "BF16")
INDEX = "model.safetensors.index.json"
_SHARD = re.compile(r"[\w-][\w.-]{0,200}\.safetensors")
PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt")
METADATA = {"format": "pt"}  # without it transformers refuses a file
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
    path = directory / CONFIG
    return parse_fields(read_fields(path), path)


def parse_fields(fields: dict[str, Any], path: Path) -> tuple[NetworkBase, int, HubForm | None]:
    """Return the config in the fields of a config.json, the vocabulary size, and the form of the weights: None for folio's own."""
    model_type = fields.get("model_type")
    if not isinstance(model_type, str) or (model_type != FOLIO and model_type not in BY_MODEL_TYPE):
        raise ModelError(f"{path}: model_type is {model_type!r}; those that can be loaded are {', '.join((FOLIO, *BY_MODEL_TYPE))}")
    theirs = {} if model_type == FOLIO else {ours: name for name, ours in BY_MODEL_TYPE[model_type].FIELDS.items()}
    try:
        if type(vocab_size := fields["vocab_size"]) is not int or not 0 < vocab_size <= MOST_TOKENS:
            raise ModelError(f"{path}: vocab_size is {vocab_size!r}, not a whole number up to {MOST_TOKENS:,}; fetch the model again")
        if model_type == FOLIO:
            return _own_config(fields, path), vocab_size, None
        hub = BY_MODEL_TYPE[model_type]
        method = (_entry(fields, "quantization_config", path) or {}).get("quant_method")
        if method and "quantization" not in fields:  # a variant of ours has that entry, and its kind reads the weights
            raise ModelError(f"{path}: quantization_config says that the weights are in {method!r}; take the model in full precision")
        config = hub.network(fields, path)
        if (tokens := vocab_size - hub.beyond(config)) <= 0:
            raise ModelError(f"{path}: vocab_size is {vocab_size}, of which {vocab_size - tokens} are no text; fetch the model again")
        return config, tokens, HubForm(hub, config)
    except KeyError as missing:
        raise ModelError(f"{path}: {missing} is missing") from None
    except ValidationError as error:
        wrong = "; ".join(_said(each, theirs) for each in error.errors())
        raise ModelError(f"{path} does not describe a network that this version has: {wrong}") from error
    except (TypeError, AttributeError, LookupError, ArithmeticError) as error:  # of what isn't what a field should be
        raise ModelError(f"{path} does not describe a network that this version has: {error}; fetch the model again") from error


def read_fields(path: Path) -> dict[str, Any]:
    """Return the fields of a model directory's config.json."""
    return read_json(path, lacking=f"{path.parent} is not a model directory")


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

    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    form = config.hub_form()
    form = form if form is not None and form.exact and apart is None else None
    write_weights(tensors, form, directory / WEIGHTS, torch.float32)
    fields = {**config_fields(config, vocab_size, form), **(extra or {}), **({} if apart is None else {APART: dict(apart)})}
    write_atomically(directory / CONFIG, (json.dumps(fields, indent=2, sort_keys=True) + "\n").encode())


def write_weights(tensors: Mapping[str, Tensor], form: HubForm | None, path: Path, dtype: torch.dtype) -> None:
    """Write tensors by parameter name as a class has them, floats as `dtype`. Those that are still to be made are held one at a time."""
    import torch

    given = LazyTensors(tensors).rounded(torch.float32)
    if form is None or form.same:
        write_tensors(path, given.rounded(dtype), METADATA)
    elif not given.lazy:
        write_tensors(path, LazyTensors(form.to_hub(given)).rounded(dtype), METADATA)
    else:  # a class may make one of several, or several of one: of tensors in a file, which take no memory
        plain = path.with_name(path.name + ".plain")
        write_tensors(plain, given)
        write_tensors(path, LazyTensors(form.to_hub(load_tensors(plain))).rounded(dtype), METADATA)
        plain.unlink()


def weight_files(directory: Path) -> list[Path]:
    """Return the file of the weights, or the files that an index names; raise ModelError if there is none."""
    path, index = Path(directory) / WEIGHTS, Path(directory) / INDEX
    if present(path):
        require_regular(path)
        return [path]
    if not present(index):
        pickled = sorted(file.name for pattern in PICKLES for file in Path(directory).glob(pattern))
        why = f"{pickled[0]} there is a pickle, which can run code when it is read; convert it to safetensors" if pickled else ""
        raise ModelError(f"{path} does not exist: {why or f'{directory} has no weights'}")
    files = [Path(directory) / name for name in shards_of(index)]
    for file in files:
        require_regular(file, lacking=f"{index} names it, which is not a file in that directory")
    return files


def shards_of(index: Path) -> list[str]:
    """Return the names of the files that an index of weights names."""
    tensors = read_json(index).get("weight_map")
    if not isinstance(tensors, dict) or not tensors:
        raise ModelError(f"{index}: weight_map is {tensors!r}, not files by the names of tensors; fetch the model again")
    for tensor, name in tensors.items():
        if not isinstance(name, str) or not _SHARD.fullmatch(name):
            raise ModelError(f"{index} names {name!r} for {tensor}, which is not a file of safetensors in that directory; fetch it again")
    return sorted(set(tensors.values()))


def model_files(directory: Path) -> list[Path]:
    """Return the files that define a model: configuration, weights, and the tokenizer if present."""
    config, tokenizer = Path(directory) / CONFIG, Path(directory) / "tokenizer.json"
    require_regular(config, lacking=f"{directory} is not a model directory")
    return [config, *weight_files(directory), *([tokenizer] if present(tokenizer) and require_regular(tokenizer) else [])]


def read_apart(directory: Path) -> dict[str, Any] | None:
    """Return the settings of a model directory's separate adapter; None without one."""
    return read_entry(directory, APART)


def read_entry(directory: Path, name: str) -> dict[str, Any] | None:
    """Return an object that config.json holds under a name; None without one."""
    path = Path(directory) / CONFIG
    return _entry(read_fields(path), name, path)


def _entry(fields: dict[str, Any], name: str, path: Path) -> dict[str, Any] | None:
    if (entry := fields.get(name)) is not None and not isinstance(entry, dict):
        raise ModelError(f"{path}: {name} is {entry!r}, not an object; fetch the model again")
    return entry


Hold = Callable[["Network", dict[str, "Tensor"]], None]
"""Replaces layers of a network on the meta device by such as hold their weights in another form, and takes those out of the tensors."""


def load_model(directory: Path, *, dropout: bool = True, bare: bool = False, heads: bool = True, hold: Hold | None = None) -> Network:
    """Load the network in `directory`, whose weights are one file or several with an index, as fp32, on the CPU, in evaluation mode.

    `dropout`: whether it drops in training what its config says; if not, nothing. `bare`: without the adapter that it holds apart; else
    raise ModelError for a directory with one, whose weights alone are another model. `heads`: with those that predict further ahead.
    `hold`: given the network before it has memory, and the tensors as the file has them.

    It is built on the meta device, so nothing is drawn and then overwritten. Costs the network's own fp32, 4 bytes a parameter, less what
    `hold` holds otherwise, and the pages of the mapped file, which the system may take back.
    """
    from model.networks.meta import fill

    network, tensors = map_model(directory, dropout=dropout, bare=bare, heads=heads)
    if hold is not None:
        hold(network, tensors)
    with _matching(directory):
        fill(network, tensors)
    return network.eval()


class MappedModel(NamedTuple):
    """A network on the meta device, and its tensors by parameter name, mapped, in the precision of the file."""

    network: Network
    tensors: dict[str, Tensor]


def map_model(directory: Path, *, dropout: bool = True, bare: bool = False, heads: bool = True) -> MappedModel:
    """Return what `load_model` would load, without memory for it. Raise ModelError unless the tensors are the network's."""
    from model.networks.meta import meta_network, require_fit

    if not bare and (settings := read_apart(Path(directory))) is not None:
        raise ModelError(
            f"{directory} computes with an adapter that does not merge into its weights (adapter.kind={settings.get('kind')}), so it can "
            "be talked to, evaluated and exported, but neither tuned further nor quantized; start from the model that it was tuned from"
        )
    config, vocab_size, form = _read(Path(directory))
    files = weight_files(directory)
    _require_weights(config, vocab_size, form, files, Path(directory) / CONFIG)
    config = config if heads else config.alone
    network = meta_network(config if dropout else config.without_dropout, vocab_size)
    tensors: dict[str, Tensor] = {}
    for path in files:
        for name, tensor in load_tensors(path).items():
            if name in tensors:
                raise ModelError(f"{path} holds {name}, and so does another file beside it; fetch the model again")
            tensors[name] = tensor
    if not heads:
        tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith(AHEAD)}
    for copied in network.tied_names():
        tensors.pop(copied, None)
    with _matching(directory):
        if form is not None:
            # In the precision of the file, which stays mapped: a whole copy in fp32 would double what loading takes.
            tensors = form.from_hub(tensors)
        require_fit(network, tensors)
    return MappedModel(network, tensors)


@contextmanager
def _matching(directory: Path) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, LookupError, ModelError) as error:
        raise ModelError(f"{weight_files(directory)[0]} does not match the {CONFIG} beside it: {error}") from error


def _require_weights(config: NetworkBase, vocab_size: int, form: HubForm | None, files: Sequence[Path], path: Path) -> None:
    """Raise ModelError if a config describes more than its files of weights hold, before any of it is built, or they hold no weights."""
    from model.networks.meta import count_parameters, meta_network

    held = {name: stored for file in files for name, stored in tensor_shapes(file).items()}
    if config.layers > len(held):
        raise ModelError(f"{path} describes {config.layers:,} layers, but {files[0].name} has {len(held):,} tensors; fetch the model again")
    with naming(path):
        described, numbers = count_parameters(config, vocab_size), sum(math.prod(shape) for _, shape in held.values())
        small = meta_network(config.shallow, vocab_size).state_dict()
    named, counts = len(small) * config.layers, {name for name, tensor in small.items() if not tensor.is_floating_point()}
    if len(held) > 4 * named + 100:  # a class may store what is one tensor here as some
        raise ModelError(f"{path} describes {config.layers:,} layers, but {files[0].name} has {len(held):,} tensors; fetch the model again")
    if described > numbers:
        raise ModelError(f"{path} describes {described:,} parameters, but {files[0].name} has {numbers:,}; fetch the model again")
    for name, (kind, _) in held.items():
        if kind not in FLOATS and name not in counts and (form is None or not re.fullmatch(form.hub.BUFFERS, name)):
            raise ModelError(f"{files[0]} holds {name} as {kind}, and weights are {', '.join(FLOATS)}; take the model in full precision")


def read_tokenizer_digest(directory: Path) -> str | None:
    """Return the SHA-256 (hex) of the tokenizer.json that the model in `directory` was trained with; None if not recorded."""
    digest = read_fields(Path(directory) / CONFIG).get(TOKENIZER_DIGEST)
    return None if digest is None else str(digest)


def require_tokenizer(directory: Path, digest: str) -> None:
    """Raise ModelError if the model in `directory` was trained with another tokenizer than the one with this SHA-256."""
    trained_with = read_tokenizer_digest(directory)
    if trained_with is not None and trained_with != digest:
        raise ModelError(
            f"{directory} was trained with tokenizer {trained_with[:12]}, but tokenizer {digest[:12]} is in use, so the same ids mean "
            "different text; use the tokenizer that it was trained with, or train it again with this one"
        )
