"""Build a network without data, on torch's meta device: to fill it from a file, or to read its sizes instead of computing them.

Where blocks are alike, measuring one and two gives the size of any number, so a shape of billions costs milliseconds. A forward pass
runs on fake tensors, which have no data but report the target device, so autocast and the choice of kernels
match a real pass. Neither touches torch's random state.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode

from model.layers.experts import Experts
from model.networks.base import NetworkBase
from model.networks.network import Network, Role

FILLS = frozenset(fill for name, fill in vars(nn.init).items() if name.endswith("_") and not name.startswith("_"))


class _Unfilled(TorchFunctionMode):
    """Skips `torch.nn.init`: tensors of shapes alone have nothing to initialize."""

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if func in FILLS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def meta_network(config: NetworkBase, vocab_size: int) -> Network:
    """Return the network on the meta device, with shapes and types and no memory."""
    with torch.device("meta"), _Unfilled():
        return config.build(vocab_size)


def fill(network: Network, tensors: Mapping[str, Tensor]) -> None:
    """Give a network on the meta device memory of a CPU with its weights and buffers, by name, so that none is drawn first.

    They are copied, since what a file is mapped to changes with the file. What has memory already keeps it. Raise RuntimeError, as torch
    does, unless names and shapes are those of the network.
    """
    require_fit(network, tensors)
    network._apply(lambda tensor: torch.empty_like(tensor, device="cpu") if tensor.is_meta else tensor)  # type: ignore[no-untyped-call]
    network.load_state_dict(tensors, strict=True)


def require_fit(network: Network, tensors: Mapping[str, Tensor]) -> None:
    """Raise RuntimeError, as torch does, unless names and shapes are those of the network on the meta device, which takes no memory."""
    if {name: tensor.shape for name, tensor in network.state_dict().items()} != {name: tensor.shape for name, tensor in tensors.items()}:
        network.load_state_dict({name: tensor.to("meta") for name, tensor in tensors.items()}, strict=True)


@contextmanager
def fake_network(config: NetworkBase, vocab_size: int) -> Iterator[Network]:
    """Inside, tensors are fake ones of a CPU; yield the network as such, in evaluation mode. It can't be used outside."""
    network = meta_network(config, vocab_size)
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield network.to_empty(device="cpu").eval()


def example_inputs(config: NetworkBase, rows: int, length: int) -> dict[str, Tensor]:
    """Return the columns that the network reads, of rows that are one text each."""
    widths = {name: width for reads in config.all_inputs for name, width in reads.columns().items()}
    columns = {name: torch.zeros(rows, length, width) for name, width in widths.items()}
    if written := config.written(length):
        columns["written"] = torch.zeros(rows, written, dtype=torch.long)
    return {"tokens": torch.zeros(rows, length, dtype=torch.long), **columns}


def parameters_by_role(config: NetworkBase, vocab_size: int) -> Mapping[Role, int]:
    """Count the parameters of a network by their role."""
    counts, last_blocks = _counted(config.shallow, vocab_size)
    more = (config.layers - config.shallow.layers) // config.period
    return {role: count + last_blocks[role] * more for role, count in counts.items()}


def count_parameters(config: NetworkBase, vocab_size: int) -> int:
    """Count all parameters of a network, embeddings included."""
    return sum(parameters_by_role(config, vocab_size).values())


@lru_cache(maxsize=1024)
def active_parameters(config: NetworkBase, vocab_size: int) -> int:
    """Count the parameters that a token is computed with: all but those of experts that it does not choose."""
    whole = count_parameters(config, vocab_size)
    if not config.mixes_experts:
        return whole
    last = meta_network(config.shallow, vocab_size).blocks()[-1]  # all blocks have as many experts, of one size
    spared = [
        (module.settings.count - module.settings.active) * sum(parameter.numel() for parameter in module.experts[0].parameters())
        for module in last.modules()
        if isinstance(module, Experts)
    ]
    return whole - config.layers * sum(spared)


@lru_cache(maxsize=4096)
def _counted(config: NetworkBase, vocab_size: int) -> tuple[Mapping[Role, int], Mapping[Role, int]]:
    """Count the parameters by role: of the whole network, and of the last `period` blocks of each stack."""
    network = meta_network(config, vocab_size)
    blocks = network.blocks()[-config.period * config.stacks :]
    roles, last = network.roles(), {id(parameter) for block in blocks for parameter in block.parameters()}
    whole, block = Counter[Role](), Counter[Role]()
    for name, parameter in network.named_parameters():
        whole[roles[name]] += parameter.numel()
        block[roles[name]] += parameter.numel() if id(parameter) in last else 0
    return whole, block
