"""Open a model directory with an adapter that does not merge, or a model with one of its adapters."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from data.shards.model_folder import naming, read_json, require_regular
from model.adapters.config import AdapterConfig, AnyAdapter
from model.adapters.protocol import FIELDS, FOLDER, TENSORS, Adapter, AdapterError, read_tensors
from model.networks.directory import CONFIG, ModelError, load_model, read_apart
from model.networks.network import Inputs, Network

if TYPE_CHECKING:
    from model.networks.network import Network


def adapter_apart(directory: Path) -> AnyAdapter | None:
    """Return the settings of a model directory's separate adapter; None without one."""
    settings = read_apart(directory)
    return None if settings is None else _validated(settings, directory)


def load_adapted(directory: Path, *, heads: bool = True) -> Network:
    """Load the network in `directory` as `load_model` does, with its separate adapter if it has one."""
    config = adapter_apart(directory)
    network = load_model(directory, bare=True, heads=heads)
    if config is None:
        return network
    path = directory / FOLDER / TENSORS
    require_regular(path, lacking=f"{directory / CONFIG} names an adapter of kind={config.kind}; copy the whole directory")
    _restore(config, network, path.parent)
    return network


def stored_adapter(folder: Path) -> AnyAdapter:
    """Return the settings of the adapter in a folder. Raise ModelError if there is none, or none that folio computes."""
    path = folder / FIELDS
    fields = read_json(path, lacking=f"{folder} holds no adapter")
    for kind in get_args(AnyAdapter):
        try:
            config: AnyAdapter | None = kind.from_saved(fields)
        except (AdapterError, KeyError, TypeError, ValidationError) as error:
            raise ModelError(f"{path}: {error}") from error
        if config is not None:
            return config
    raise ModelError(f"{path} has peft_type={fields.get('peft_type')!r}; folio computes LORA, PREFIX_TUNING and PROMPT_TUNING")


def adapt(network: Network, folder: Path) -> None:
    """Give a network the adapter in `folder`. Raise ModelError if it does not fit the network."""
    _restore(stored_adapter(folder), network, folder)


def _restore(config: AnyAdapter, network: Network, folder: Path) -> None:
    path = folder / TENSORS
    tensors = read_tensors(folder)
    try:
        with naming(path):
            config.build().restore(network, tensors)
    except ModelError as error:
        if isinstance(error.__cause__, AdapterError):
            raise ModelError(f"{path}: {error.__cause__}") from error
        raise


def with_adapter(network: Network, folder: Path) -> Network:
    """Return a network that computes with the adapter in `folder`; the one given stays as it is.

    Weights that the adapter leaves as they are, such as tables of tokens, are the given network's own. Costs a copy of the network
    while it is made. Raise ModelError unless it was trained on such a network.
    """
    import torch

    adapted = copy.deepcopy(network)
    adapt(adapted, folder)
    weights = dict(network.named_parameters())
    for name, parameter in list(adapted.named_parameters()):
        weight = weights.get(name)
        if weight is not None and torch.equal(weight, parameter):
            owner, _, last = name.rpartition(".")
            setattr(adapted.get_submodule(owner), last, weight)
    return adapted


def _validated(settings: Mapping[str, Any], directory: Path) -> AnyAdapter:
    try:
        config: AnyAdapter = TypeAdapter(AdapterConfig).validate_python(settings)
    except ValidationError as error:
        raise ModelError(f"{directory / CONFIG} names an adapter that this version does not know: {error}") from error
    return config


class Reference(Network):
    """Computes what `network` did before its adapter was injected, in evaluation mode and without gradients."""

    def __init__(self, network: Network, adapter: Adapter) -> None:
        super().__init__(network.config, network.vocab_size)
        self._adapter = adapter
        # The tuple keeps the network from becoming a submodule, so this view owns none of its parameters.
        self._network = (network,)

    def forward(self, inputs: Inputs) -> Tensor:
        """Return the base model's hidden x_BTD."""
        with self._adapter.disabled(self._network[0]):
            hidden_BTD: Tensor = self._network[0](inputs)
        return hidden_BTD

    def read(self, x_ND: Tensor) -> Tensor:
        """Return the base model's logits_NV."""
        with self._adapter.disabled(self._network[0]):
            return self._network[0].read(x_ND)

    def blocks(self) -> nn.ModuleList:
        """Return the blocks of the network that is seen through."""
        return self._network[0].blocks()
