"""A network's parameters as optimizers take them: what is trained, in groups by weight decay, and the matrices inside the blocks."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from model.networks.network import Network

Groups = list[dict[str, Any]]


def trained_parameters(network: nn.Module) -> list[nn.Parameter]:
    """Return what is trained of a network."""
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def decay_groups(parameters: list[nn.Parameter], weight_decay: float) -> Groups:
    """Group the parameters: those with weight decay, then those without. Of two groups, an empty one is left out."""
    groups: Groups = [
        {"params": [parameter for parameter in parameters if parameter.dim() > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in parameters if parameter.dim() <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]] or groups[:1]


def block_matrices(network: Network) -> list[Tensor]:
    """Return the trained matrices inside the blocks, for which Muon was designed; not embeddings or the output head."""
    roles = network.roles()
    return [parameter for name, parameter in network.named_parameters() if roles[name] == "matrix" and parameter.requires_grad]
