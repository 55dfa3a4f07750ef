"""Stochastic gradient descent with momentum, torch's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from model.training.optimizers.base import OptimizerBase

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


class MomentumConfig(OptimizerBase):
    """Stochastic gradient descent with momentum; weight decay is added to the gradient."""

    STATE: ClassVar[int] = 1

    kind: Literal["momentum"] = Field("momentum", description="optimizer")
    momentum: float = Field(0.95, ge=0, lt=1, description="decay rate of the momentum")
    nesterov: bool = Field(True, description="Nesterov momentum")

    def build(self, network: nn.Module, learning_rate: float, weight_decay: float) -> Optimizer:
        """Return the optimizer of a network's trainable parameters."""
        import torch

        from model.training.optimizers.groups import decay_groups, trained_parameters

        groups = decay_groups(trained_parameters(network), weight_decay)
        return torch.optim.SGD(groups, lr=learning_rate, momentum=self.momentum, nesterov=self.nesterov, fused=True)
