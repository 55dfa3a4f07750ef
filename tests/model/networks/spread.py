"""Networks whose logits are far enough apart to compare."""

from __future__ import annotations

from typing import TypeVar

import torch

from model.networks.network import Network

AnyNetwork = TypeVar("AnyNetwork", bound=Network)


def spread(network: AnyNetwork, seed: int = 3) -> AnyNetwork:
    """Return the network in evaluation mode with gains, biases and running statistics that differ from their initial values."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in (*network.named_parameters(), *network.named_buffers()):
            if tensor.dim() == 1:
                centred = "bias" in name or name.endswith("running_mean")
                tensor.copy_(torch.empty(tensor.shape).uniform_(-0.5, 0.5, generator=generator) + (0.0 if centred else 1.0))
    return network.eval()
