"""Build the optimizer that a training's configuration describes, over a network's parameters in groups.

Guarantee: `optimizer.state[parameter]` holds only tensors of the parameter's shape and scalars (Adafactor: its rows and columns); each
group has its peak learning rate as `initial_lr`. All kinds but Adafactor and Muon work element by element, so on ZeRO's flat partitions
they compute in every stage what they compute in one process; Muon gathers its matrices from the partitions. Weight decay applies to
tensors of two or more dimensions, embeddings included, not to norms and biases. SGD, momentum and Adam add it to the gradient; for the
others it is decoupled (Loshchilov and Hutter, 2019).

A moving average of the weights, kept in the optimizer's state, so ZeRO partitions it and checkpoints contain it.

average = d average + (1 - d) weight after every update, with d = min(decay, (1 + t) / (10 + t)) at update t from 0, so the initial
random weights are soon forgotten (as in TensorFlow's ExponentialMovingAverage). Cost: one tensor per parameter, and one pass over it per
update.

The learning rate: a linear warm-up to the peak, then the shape that the training's configuration describes.

The first step already learns (at peak / warmup_steps, not 0), and cosine, linear and wsd end at exactly the configured share of the peak;
a run that the default warm-up outlasts ends at the peak. The rate depends only on the update's number and the length of the run, so nothing
of it needs to be saved.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from model.networks.network import Network, Role
from model.training.train_config import TrainConfig

Groups = list[dict[str, Any]]


@dataclass(frozen=True)
class TrainedParameters:
    """A network's trainable parameters, in groups with and without weight decay."""

    network: nn.Module
    weight_decay: float

    def groups(self) -> Groups:
        """Return all of them."""
        return decay_groups([parameter for parameter in self.network.parameters() if parameter.requires_grad], self.weight_decay)

    def groups_by_role(self) -> dict[Role, Groups]:
        """Return the groups of each role that a parameter has."""
        assert isinstance(self.network, Network), "a layout refuses optimizers that need whole matrices where the network is divided"
        return {role: decay_groups(parameters, self.weight_decay) for role, parameters in parameters_by_role(self.network).items()}


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


KEY = "ema"


def average_weights(optimizer: torch.optim.Optimizer, decay: float, update: Callable[[], int | None]) -> None:
    """Maintain the average in `optimizer.state[parameter]["ema"]`. `update` returns t, or None if a step changes no weight."""

    @torch.no_grad()
    def accumulate(stepped: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
        if (done := update()) is None:
            return
        weight = 1 - min(decay, (1 + done) / (10 + done))
        for parameter in (parameter for group in stepped.param_groups for parameter in group["params"]):
            if parameter.grad is None:
                continue
            state = stepped.state[parameter]
            if KEY in state:
                state[KEY].lerp_(parameter, weight)
            else:
                state[KEY] = parameter.detach().clone()

    optimizer.register_step_post_hook(accumulate)


def rate_factor(update: int, total: int, config: TrainConfig) -> float:
    """Return the share of the peak learning rate at update number `update`, from 0, of `total`."""
    warmup = min(config.warmup_steps, total)
    return (update + 1) / warmup if update < warmup else config.schedule.factor(update, total, warmup)


def build_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimizer of a network's trainable parameters."""
    optimizer = config.optimizer.build(TrainedParameters(network, config.weight_decay), config.learning_rate)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer
