"""Lion, implemented in `optimizers/lion.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from model.training.optimizers.base import OptimizerBase

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


class LionConfig(OptimizerBase):
    """Lion (Chen et al., 2023): every weight moves by the learning rate, which should be 3 to 10 times smaller than AdamW's."""

    STATE: ClassVar[int] = 1

    kind: Literal["lion"] = Field("lion", description="optimizer")
    beta1: float = Field(0.9, ge=0, lt=1, description="share of the momentum in an update's direction")
    beta2: float = Field(0.95, ge=0, lt=1, description="decay rate of the momentum")

    def build(self, network: nn.Module, learning_rate: float, weight_decay: float) -> Optimizer:
        """Return the optimizer of a network's trainable parameters."""
        from model.training.optimizers.groups import decay_groups, trained_parameters
        from model.training.optimizers.lion import Lion

        return Lion(decay_groups(trained_parameters(network), weight_decay), lr=learning_rate, betas=(self.beta1, self.beta2))
