"""Muon, assembled in `optimizers/muon.py`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from model.training.optimizers.base import Division, OptimizerBase

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from model.networks.base import NetworkBase

EMBEDDING_FACTOR = 5
"""How much faster embeddings learn than matrices: on a million tokens of real books a factor of 4 or 8 cost 2.3 and 2.4 % less bits."""


class MuonConfig(OptimizerBase):
    """Muon (Jordan et al., 2024) for the matrices inside the blocks, AdamW for the rest."""

    NEEDS_WHOLE: ClassVar[frozenset[Division]] = frozenset({"tensor", "pipeline", "nvme"})
    STATE: ClassVar[int] = 2
    MATRIX_STATE: ClassVar[int] = 1

    kind: Literal["muon"] = Field("muon", description="optimizer")
    learning_rate: float = Field(0.0, ge=0, description="peak learning rate of the blocks' matrices; 0: that of the training")
    embedding_learning_rate: float = Field(0.0, ge=0, description="peak learning rate of embeddings; 0: five times that of the training")
    head_learning_rate: float = Field(0.0, ge=0, description="peak learning rate of an untied output head; 0: that of the training")
    vector_learning_rate: float = Field(0.0, ge=0, description="peak learning rate of gains, biases and scalars; 0: that of the training")
    momentum: float = Field(0.95, ge=0, lt=1, description="decay rate of the momentum")
    nesterov: bool = Field(True, description="Nesterov momentum")
    beta1: float = Field(0.9, ge=0, lt=1, description="AdamW's decay rate of the gradient's running mean")
    beta2: float = Field(0.95, ge=0, lt=1, description="AdamW's decay rate of the squared gradient's running mean")
    epsilon: float = Field(1e-8, gt=0, description="added to AdamW's denominator")

    def unused(self, network: NetworkBase) -> Iterator[str]:
        """Yield the head's rate where the head is the embeddings."""
        if self.head_learning_rate and getattr(network, "tied_embeddings", False):
            yield "head_learning_rate"

    def build(self, network: nn.Module, learning_rate: float, weight_decay: float) -> Optimizer:
        """Return the optimizer of a network's trainable parameters."""
        from model.networks.network import Network, Role
        from model.training.optimizers.groups import decay_groups, parameters_by_role
        from model.training.optimizers.muon import Muon

        assert isinstance(network, Network), "a layout refuses Muon where the network is divided"
        parameters = parameters_by_role(network)
        matrices = [{"params": parameters["matrix"], "lr": self.learning_rate or learning_rate, "weight_decay": weight_decay}]
        rates: dict[Role, float] = {
            "embedding": self.embedding_learning_rate or EMBEDDING_FACTOR * learning_rate,
            "head": self.head_learning_rate,
            "vector": self.vector_learning_rate,
        }
        others = [
            {**group, "lr": rate or learning_rate} for role, rate in rates.items() for group in decay_groups(parameters[role], weight_decay)
        ]
        return Muon(
            [group for group in matrices if group["params"]],
            [group for group in others if group["params"]],
            lr=learning_rate,
            momentum=self.momentum,
            nesterov=self.nesterov,
            adamw={"betas": (self.beta1, self.beta2), "eps": self.epsilon},
        )
