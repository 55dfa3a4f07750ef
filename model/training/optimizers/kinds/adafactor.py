"""Adafactor, torch's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from model.training.optimizers.base import Division, OptimizerBase

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


class AdafactorConfig(OptimizerBase):
    """Adafactor (Shazeer and Stern, 2018): the learning rate is relative to a weight's size.

    It keeps a row and a column for each matrix, which `STATE` neglects.
    """

    NEEDS_WHOLE: ClassVar[frozenset[Division]] = frozenset({"zero", "tensor", "pipeline"})

    kind: Literal["adafactor"] = Field("adafactor", description="optimizer")

    def build(self, network: nn.Module, learning_rate: float, weight_decay: float) -> Optimizer:
        """Return the optimizer of a network's trainable parameters."""
        import torch

        from model.training.optimizers.groups import decay_groups, trained_parameters

        return torch.optim.Adafactor(decay_groups(trained_parameters(network), weight_decay), lr=learning_rate)
