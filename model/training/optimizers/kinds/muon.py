"""Muon, assembled in `optimizers/muon.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from model.training.optimizers.base import OptimizerBase

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


class MuonConfig(OptimizerBase):
    """Muon (Jordan et al., 2024) for the matrices inside the blocks, AdamW for the rest."""

    WHOLE_MATRICES: ClassVar[bool] = True
    STATE: ClassVar[int] = 2
    MATRIX_STATE: ClassVar[int] = 1

    kind: Literal["muon"] = Field("muon", description="optimizer")
    learning_rate: float = Field(0.0, ge=0, description="peak learning rate of the blocks' matrices; 0: that of the training")
    momentum: float = Field(0.95, ge=0, lt=1, description="decay rate of the momentum")
    nesterov: bool = Field(True, description="Nesterov momentum")
    beta1: float = Field(0.9, ge=0, lt=1, description="AdamW's decay rate of the gradient's running mean")
    beta2: float = Field(0.95, ge=0, lt=1, description="AdamW's decay rate of the squared gradient's running mean")
    epsilon: float = Field(1e-8, gt=0, description="added to AdamW's denominator")

    def build(self, network: nn.Module, learning_rate: float, weight_decay: float) -> Optimizer:
        """Return the optimizer of what is trained of a network."""
        import torch

        from model.networks.network import Network
        from model.training.optimizers.groups import block_matrices, decay_groups, trained_parameters
        from model.training.optimizers.muon import Muon

        assert isinstance(network, Network), "a layout refuses Muon where the network is divided"
        matrices = block_matrices(network)
        rest = [parameter for parameter in trained_parameters(network) if not any(parameter is matrix for matrix in matrices)]
        return Muon(
            torch.optim.Muon(
                matrices,
                lr=self.learning_rate or learning_rate,
                weight_decay=weight_decay,
                momentum=self.momentum,
                nesterov=self.nesterov,
                adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.AdamW(
                decay_groups(rest, weight_decay), lr=learning_rate, betas=(self.beta1, self.beta2), eps=self.epsilon, fused=True
            ),
        )
