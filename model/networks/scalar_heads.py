"""Heads that read one number from a hidden vector: a reward model's score of a reply, or a policy's expected value.

They are parameters of the network in training, named `heads.<name>....`, and are saved in a separate file next to its weights, so
other programs open the model without them. Their weights start at zero: each reads 0 everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from data.shards.model_folder import naming, present
from model.networks.base import ModelError
from model.networks.directory import HEADS, load_model
from model.networks.tensor_files import LazyTensors, load_tensors, tensor_shapes, write_tensors

if TYPE_CHECKING:
    from model.networks.network import Network

FOLDER = "heads"
PREFIX = f"{FOLDER}."


def add_head(network: Network, name: str) -> None:
    """Give the network a head of this name, which reads 0."""
    if not hasattr(network, FOLDER):
        network.add_module(FOLDER, nn.ModuleDict())
    head = nn.Linear(network.config.width, 1)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    network.get_submodule(FOLDER).add_module(name, head)


def read_scalar(network: Network, name: str, x_ND: Tensor) -> Tensor:
    """Return the number that the head of this name reads from each hidden vector, fp32 [N]."""
    found: Tensor = network.get_submodule(f"{PREFIX}{name}")(x_ND)
    return found.float().squeeze(-1)


def of_heads(tensors: Mapping[str, Tensor]) -> tuple[LazyTensors, LazyTensors]:
    """Return the network's own tensors, and its heads'."""
    given = LazyTensors(tensors)
    return given.chosen(lambda name: not name.startswith(PREFIX)), given.chosen(lambda name: name.startswith(PREFIX))


def save_heads(heads: Mapping[str, Tensor], directory: Path) -> None:
    """Write the heads' tensors next to the weights; nothing without heads."""
    if heads:
        write_tensors(directory / HEADS, LazyTensors(heads).rounded(torch.float32))


def has_head(directory: Path, name: str) -> bool:
    """Return whether the network in `directory` was saved with a head of this name."""
    path = directory / HEADS
    return present(path) and any(key.startswith(f"{PREFIX}{name}.") for key in tensor_shapes(path))


def load_with_head(directory: Path, name: str) -> Network:
    """Load the network in `directory` with its head of this name; raise ModelError without one."""
    path = directory / HEADS
    network = load_model(directory, dropout=False)
    tensors = load_tensors(path) if present(path) else {}
    own = {key: tensor for key, tensor in tensors.items() if key.startswith(f"{PREFIX}{name}.")}
    if not own:
        raise ModelError(f"{directory} has no head called {name!r}: it was trained for something else; name a model with that head")
    add_head(network, name)
    with naming(path):
        network.load_state_dict(own, strict=False)
    return network.eval()
