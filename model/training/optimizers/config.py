"""Every kind of optimizer: a config tagged by `kind` each, which builds its optimizer. Cheap to import: no torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Protocol

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from model.networks.base import NetworkBase
    from model.networks.network import Role
    from model.training.optimizers.build import TrainedParameters

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
    `STEP`: numbers that it holds besides for each weight of the tensor that it is updating.
    `BATCH`: bytes of matrices that it updates at once on an accelerator, and how many it takes for each of them.
    """

    NEEDS_WHOLE: ClassVar[frozenset[Division]] = frozenset()
    DRAWS_TARGETS: ClassVar[bool] = False
    STATE: ClassVar[int] = 0
    MATRIX_STATE: ClassVar[int | None] = None
    STEP: ClassVar[int] = 0
    BATCH: ClassVar[tuple[int, int]] = (0, 0)

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

    def build(self, trained: TrainedParameters, learning_rate: float) -> Optimizer:
        """Return the optimizer of the parameters. `learning_rate`: its peak."""
        raise NotImplementedError


class MomentsConfig(OptimizerBase):
    """An optimizer with running means of each weight's gradient and of its square."""

    STATE: ClassVar[int] = 2

    beta1: float = Field(0.9, ge=0, lt=1, description="decay rate of the gradient's running mean")
    beta2: float = Field(0.95, ge=0, lt=1, description="decay rate of the squared gradient's running mean")
    epsilon: float = Field(1e-8, gt=0, description="added to the denominator")


class AdafactorConfig(OptimizerBase):
    """Adafactor (Shazeer and Stern, 2018): the learning rate is relative to a weight's size.

    It keeps a row and a column for each matrix, which `STATE` neglects.
    """

    NEEDS_WHOLE: ClassVar[frozenset[Division]] = frozenset({"zero", "tensor", "pipeline"})
    STEP: ClassVar[int] = 2

    kind: Literal["adafactor"] = Field("adafactor", description="optimizer")

    def build(self, trained: TrainedParameters, learning_rate: float) -> Optimizer:
        """Return the optimizer of the parameters."""
        import torch

        return torch.optim.Adafactor(trained.groups(), lr=learning_rate)


class AdamConfig(MomentsConfig):
    """Adam (Kingma and Ba, 2015); weight decay is added to the gradient."""

    kind: Literal["adam"] = Field("adam", description="optimizer")

    def build(self, trained: TrainedParameters, learning_rate: float) -> Optimizer:
        """Return the optimizer of the parameters."""
        import torch

        groups, betas = trained.groups(), (self.beta1, self.beta2)
        return torch.optim.Adam(groups, lr=learning_rate, betas=betas, eps=self.epsilon, fused=True)


class AdamWConfig(MomentsConfig):
    """AdamW: Adam with decoupled weight decay (Loshchilov and Hutter, 2019)."""

    kind: Literal["adamw"] = Field("adamw", description="optimizer")

    def build(self, trained: TrainedParameters, learning_rate: float) -> Optimizer:
        """Return the optimizer of the parameters."""
        import torch

        groups, betas = trained.groups(), (self.beta1, self.beta2)
        return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, eps=self.epsilon, fused=True)


class LionConfig(OptimizerBase):
    """Lion (Chen et al., 2023): every weight moves by the learning rate, which should be 3 to 10 times smaller than AdamW's."""

    STATE: ClassVar[int] = 1
    STEP: ClassVar[int] = 1

    kind: Literal["lion"] = Field("lion", description="optimizer")
    beta1: float = Field(0.9, ge=0, lt=1, description="share of the momentum in an update's direction")
    beta2: float = Field(0.95, ge=0, lt=1, description="decay rate of the momentum")

    def build(self, trained: TrainedParameters, learning_rate: float) -> Optimizer:
        """Return the optimizer of the parameters."""
        from model.training.optimizers.lion_and_sophia import Lion

        return Lion(trained.groups(), lr=learning_rate, betas=(self.beta1, self.beta2))


class MomentumConfig(OptimizerBase):
    """Stochastic gradient descent with momentum; weight decay is added to the gradient."""

    STATE: ClassVar[int] = 1

    kind: Literal["momentum"] = Field("momentum", description="optimizer")
    momentum: float = Field(0.95, ge=0, lt=1, description="decay rate of the momentum")
    nesterov: bool = Field(True, description="Nesterov momentum")

    def build(self, trained: TrainedParameters, learning_rate: float) -> Optimizer:
        """Return the optimizer of the parameters."""
        import torch

        groups = trained.groups()
        return torch.optim.SGD(groups, lr=learning_rate, momentum=self.momentum, nesterov=self.nesterov, fused=True)


EMBEDDING_FACTOR = 5
"""How much faster embeddings learn than matrices: on a million tokens of real books a factor of 4 or 8 cost 2.3 and 2.4 % less bits."""
STACKED_BYTES, STACKED_COPIES = 256 << 20, 4
"""Bytes of matrices that Muon orthogonalizes at once on an accelerator, in fp32, unless one alone is larger; and the copies this takes."""


class MuonConfig(OptimizerBase):
    """Muon (Jordan et al., 2024) for the matrices inside the blocks, AdamW for the rest."""

    NEEDS_WHOLE: ClassVar[frozenset[Division]] = frozenset({"tensor", "pipeline", "nvme"})
    STATE: ClassVar[int] = 2
    MATRIX_STATE: ClassVar[int] = 1
    STEP: ClassVar[int] = 2
    BATCH: ClassVar[tuple[int, int]] = (STACKED_BYTES, STACKED_COPIES)

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

    def build(self, trained: TrainedParameters, learning_rate: float) -> Optimizer:
        """Return the optimizer of the parameters."""
        from model.training.optimizers.muon import Muon

        groups = trained.groups_by_role()
        rates: dict[Role, float] = {
            "embedding": self.embedding_learning_rate or EMBEDDING_FACTOR * learning_rate,
            "head": self.head_learning_rate or learning_rate,
            "vector": self.vector_learning_rate or learning_rate,
        }
        return Muon(
            [{**group, "lr": self.learning_rate or learning_rate} for group in groups.get("matrix", ())],
            [{**group, "lr": rate} for role, rate in rates.items() for group in groups.get(role, ())],
            lr=learning_rate,
            momentum=self.momentum,
            nesterov=self.nesterov,
            adamw={"betas": (self.beta1, self.beta2), "eps": self.epsilon},
            stacked_bytes=STACKED_BYTES,
        )


class SgdConfig(OptimizerBase):
    """Plain stochastic gradient descent; weight decay is added to the gradient."""

    kind: Literal["sgd"] = Field("sgd", description="optimizer")

    def build(self, trained: TrainedParameters, learning_rate: float) -> Optimizer:
        """Return the optimizer of the parameters."""
        import torch

        return torch.optim.SGD(trained.groups(), lr=learning_rate, fused=True)


class SophiaConfig(OptimizerBase):
    """Sophia-G (Liu et al., 2024): a clipped Newton step with a diagonal estimate of the curvature."""

    DRAWS_TARGETS: ClassVar[bool] = True
    STATE: ClassVar[int] = 2
    STEP: ClassVar[int] = 2

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

    def build(self, trained: TrainedParameters, learning_rate: float) -> Optimizer:
        """Return the optimizer of the parameters."""
        from model.training.optimizers.lion_and_sophia import Sophia

        groups, betas = trained.groups(), (self.beta1, self.beta2)
        return Sophia(groups, lr=learning_rate, betas=betas, gamma=self.gamma, epsilon=self.epsilon)


OptimizerConfig = Annotated[
    AdamWConfig | AdamConfig | SgdConfig | MomentumConfig | AdafactorConfig | LionConfig | SophiaConfig | MuonConfig,
    Field(discriminator="kind"),
]
