"""Sophia, implemented in `optimizers/sophia.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from model.training.optimizers.base import OptimizerBase

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


class SophiaConfig(OptimizerBase):
    """Sophia-G (Liu et al., 2024): a clipped Newton step with a diagonal estimate of the curvature."""

    DRAWS_TARGETS: ClassVar[bool] = True
    STATE: ClassVar[int] = 2

    kind: Literal["sophia"] = Field("sophia", description="optimizer")
    beta1: float = Field(0.9, ge=0, lt=1, description="decay rate of the gradient's running mean")
    beta2: float = Field(0.95, ge=0, lt=1, description="decay rate of the curvature's running mean")
    epsilon: float = Field(1e-8, gt=0, description="smallest denominator")
    gamma: float = Field(0.05, gt=0, description="factor on the curvature; smaller values clip more of the update")
    every: int = Field(10, ge=1, description="updates between estimates of the curvature; each costs one more backward pass")

    @property
    def curvature_every(self) -> int:
        """Updates between estimates of the curvature."""
        return self.every

    def build(self, network: nn.Module, learning_rate: float, weight_decay: float) -> Optimizer:
        """Return the optimizer of a network's trainable parameters."""
        from model.training.optimizers.groups import decay_groups, trained_parameters
        from model.training.optimizers.sophia import Sophia

        groups, betas = decay_groups(trained_parameters(network), weight_decay), (self.beta1, self.beta2)
        return Sophia(groups, lr=learning_rate, betas=betas, gamma=self.gamma, epsilon=self.epsilon)
