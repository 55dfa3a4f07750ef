"""Build the optimizer that a configuration names, over a network's parameters in groups.

Guarantee: `optimizer.state[parameter]` holds only tensors of the parameter's shape and scalars (Adafactor: its rows and columns); each
group has its peak learning rate as `initial_lr`. All but Muon and Adafactor work element by element, so on ZeRO's flat partitions they
compute in every stage what they compute in one process. Weight decay applies to tensors of two or more dimensions, embeddings included, not
to norms and biases. SGD, momentum and Adam add it to the gradient; for the others it is decoupled (Loshchilov and Hutter, 2019).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from model.networks.network import Network
from model.training.config import TrainConfig
from model.training.optimizers.lion import Lion
from model.training.optimizers.muon import Muon
from model.training.optimizers.sophia import Sophia

Groups = list[dict[str, Any]]


def build_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimizer named in `config` for what is trained; under `muon`, blocks' matrices get Muon and the rest AdamW.

    Sources: Adam, Kingma and Ba, 2015; Adafactor, Shazeer and Stern, 2018 (its learning rate is relative to a weight's size).
    """
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    rate, betas, groups = config.learning_rate, (config.beta1, config.beta2), decay_groups(trained, config)
    optimizer: torch.optim.Optimizer
    match config.optimizer:
        case "sgd":
            optimizer = torch.optim.SGD(groups, lr=rate, fused=True)
        case "momentum":
            optimizer = torch.optim.SGD(groups, lr=rate, momentum=config.momentum, nesterov=config.nesterov, fused=True)
        case "adam":
            optimizer = torch.optim.Adam(groups, lr=rate, betas=betas, eps=config.epsilon, fused=True)
        case "adamw":
            optimizer = torch.optim.AdamW(groups, lr=rate, betas=betas, eps=config.epsilon, fused=True)
        case "adafactor":
            optimizer = torch.optim.Adafactor(groups, lr=rate)
        case "lion":
            optimizer = Lion(groups, lr=rate, betas=betas)
        case "sophia":
            optimizer = Sophia(groups, lr=rate, betas=betas, gamma=config.sophia_gamma, epsilon=config.epsilon)
        case "muon":
            assert isinstance(network, Network), "a layout refuses Muon where the network is divided"
            matrices = block_matrices(network)
            rest = [parameter for parameter in trained if not any(parameter is matrix for matrix in matrices)]
            optimizer = Muon(
                torch.optim.Muon(
                    matrices,
                    lr=config.muon_learning_rate or rate,
                    weight_decay=config.weight_decay,
                    momentum=config.momentum,
                    nesterov=config.nesterov,
                    adjust_lr_fn="match_rms_adamw",
                ),
                torch.optim.AdamW(decay_groups(rest, config), lr=rate, betas=betas, eps=config.epsilon, fused=True),
            )
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer


def decay_groups(parameters: list[nn.Parameter], config: TrainConfig) -> Groups:
    """Group the parameters: those with weight decay, then those without. Of two groups, an empty one is left out."""
    groups: Groups = [
        {"params": [parameter for parameter in parameters if parameter.dim() > 1], "weight_decay": config.weight_decay},
        {"params": [parameter for parameter in parameters if parameter.dim() <= 1], "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]] or groups[:1]


def block_matrices(network: Network) -> list[Tensor]:
    """Return the trained matrices inside the blocks, for which Muon was designed; not embeddings or the output head."""
    roles = network.roles()
    return [parameter for name, parameter in network.named_parameters() if roles[name] == "matrix" and parameter.requires_grad]
