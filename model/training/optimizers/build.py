"""Build the optimizer that a training's configuration describes, over a network's parameters in groups.

Guarantee: `optimizer.state[parameter]` holds only tensors of the parameter's shape and scalars (Adafactor: its rows and columns); each
group has its peak learning rate as `initial_lr`. All kinds but Adafactor and Muon work element by element, so on ZeRO's flat partitions
they compute in every stage what they compute in one process; Muon gathers its matrices from the partitions. Weight decay applies to
tensors of two or more dimensions, embeddings included, not to norms and biases. SGD, momentum and Adam add it to the gradient; for the
others it is decoupled (Loshchilov and Hutter, 2019).
"""

from __future__ import annotations

import torch
from torch import nn

from model.training.train_config import TrainConfig


def build_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimizer of a network's trainable parameters."""
    optimizer = config.optimizer.build(network, config.learning_rate, config.weight_decay)
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return optimizer
