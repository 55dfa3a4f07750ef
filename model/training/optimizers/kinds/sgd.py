"""Stochastic gradient descent, torch's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from model.training.optimizers.base import OptimizerBase

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


class SgdConfig(OptimizerBase):
    """Plain stochastic gradient descent; weight decay is added to the gradient."""

    kind: Literal["sgd"] = Field("sgd", description="optimizer")

    def build(self, network: nn.Module, learning_rate: float, weight_decay: float) -> Optimizer:
        """Return the optimizer of a network's trainable parameters."""
        import torch

        from model.training.optimizers.groups import decay_groups, trained_parameters

        return torch.optim.SGD(decay_groups(trained_parameters(network), weight_decay), lr=learning_rate, fused=True)
