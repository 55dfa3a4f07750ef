"""A small network with an adapter, as if training had changed every weight that it may."""

from __future__ import annotations

import torch

from model.adapters.config import AnyAdapter
from model.adapters.protocol import Adapter
from model.networks.network import Network
from tests.model.jobs import SHAPE, VOCABULARY

TOKENS = torch.randint(0, VOCABULARY, (3, 12), generator=torch.Generator().manual_seed(1))
INPUTS = {"tokens": TOKENS}


def base() -> Network:
    """A network whose weights are no longer near zero, so that rounding and positions show."""
    network = SHAPE.build(VOCABULARY, seed=3).eval()
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network


def adapted(config: AnyAdapter, network: Network | None = None) -> tuple[Network, Adapter]:
    """The base with a trained adapter."""
    network, adapter = network or base(), config.build()
    adapter.inject(network, 7)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return network, adapter
