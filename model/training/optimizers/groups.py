"""A network's trainable parameters, in groups by weight decay or by role."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from torch import nn

from model.networks.network import Network, Role

Groups = list[dict[str, Any]]


def trained_parameters(network: nn.Module) -> list[nn.Parameter]:
    """Return a network's trainable parameters."""
    return [parameter for parameter in network.parameters() if parameter.requires_grad]


def decay_groups(parameters: list[nn.Parameter], weight_decay: float) -> Groups:
    """Group the parameters: those with weight decay, then those without. Of two groups, an empty one is left out."""
    groups: Groups = [
        {"params": [parameter for parameter in parameters if parameter.dim() > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in parameters if parameter.dim() <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]] or groups[:1]


def parameters_by_role(network: Network) -> dict[Role, list[nn.Parameter]]:
    """Return a network's trainable parameters by role; Muon was designed for the matrices inside the blocks."""
    roles = network.roles()
    named: dict[Role, list[nn.Parameter]] = defaultdict(list)
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            named[roles[name]].append(parameter)
    return named
