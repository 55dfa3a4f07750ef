"""AdamW, torch's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from model.training.optimizers.base import MomentsConfig

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


class AdamWConfig(MomentsConfig):
    """AdamW: Adam with decoupled weight decay (Loshchilov and Hutter, 2019)."""

    kind: Literal["adamw"] = Field("adamw", description="optimizer")

    def build(self, network: nn.Module, learning_rate: float, weight_decay: float) -> Optimizer:
        """Return the optimizer of a network's trainable parameters."""
        import torch

        from model.training.optimizers.groups import decay_groups, trained_parameters

        groups, betas = decay_groups(trained_parameters(network), weight_decay), (self.beta1, self.beta2)
        return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, eps=self.epsilon, fused=True)
