"""The interface of an optimizer's config; no other file asks which kind it is. Cheap to import: no torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from model.networks.base import NetworkBase

# What may keep an optimizer from seeing whole matrices: ZeRO's partitions, offload to disk, pipeline or tensor parallelism.
Division = Literal["zero", "nvme", "tensor", "pipeline"]


class EstimatesCurvature(Protocol):
    """An optimizer that now and then is given gradients of the loss on drawn targets, for its estimate of the curvature."""

    def estimating(self, tokens: float) -> AbstractContextManager[None]:
        """Inside, `step` only updates the curvature, from gradients of the mean loss on `tokens` drawn targets."""


class OptimizerBase(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The settings of an optimizer, beside the learning rate and weight decay, which every training has. A kind adds `kind` and its own.

    `NEEDS_WHOLE`: ways of dividing or storing weights that it can't be used with, as it needs whole matrices.
    `DRAWS_TARGETS`: it learns the loss's curvature from targets drawn from the model itself.
    `STATE`: numbers that it keeps for each weight; `MATRIX_STATE`: for each weight of a matrix inside the blocks, if that differs.
    """

    NEEDS_WHOLE: ClassVar[frozenset[Division]] = frozenset()
    DRAWS_TARGETS: ClassVar[bool] = False
    STATE: ClassVar[int] = 0
    MATRIX_STATE: ClassVar[int | None] = None

    kind: str = Field(description="optimizer")

    @property
    def curvature_every(self) -> int:
        """Updates between estimates of the curvature; 0: none. One that has some is an `EstimatesCurvature`."""
        return 0

    @property
    def matrix_state(self) -> int:
        """Numbers that it keeps for each weight of a matrix inside the blocks."""
        return self.STATE if self.MATRIX_STATE is None else self.MATRIX_STATE

    def unused(self, network: NetworkBase) -> Iterator[str]:
        """Yield the keys that are set and have no effect on this network."""
        yield from ()

    def build(self, network: nn.Module, learning_rate: float, weight_decay: float) -> Optimizer:
        """Return the optimizer of a network's trainable parameters. `learning_rate`: its peak."""
        raise NotImplementedError


class MomentsConfig(OptimizerBase):
    """An optimizer with running means of each weight's gradient and of its square."""

    STATE: ClassVar[int] = 2

    beta1: float = Field(0.9, ge=0, lt=1, description="decay rate of the gradient's running mean")
    beta2: float = Field(0.95, ge=0, lt=1, description="decay rate of the squared gradient's running mean")
    epsilon: float = Field(1e-8, gt=0, description="added to the denominator")
