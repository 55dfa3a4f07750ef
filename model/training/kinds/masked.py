"""Pretraining by masked language modelling."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from model.networks.base import Ability
from model.training.train_config import CorpusTrainConfig

if TYPE_CHECKING:
    from model.objectives.masked import Masked


class MaskedConfig(CorpusTrainConfig):
    """Masked language modelling over packed documents: some tokens are hidden and predicted from all others."""

    REQUIRES: ClassVar[frozenset[Ability]] = frozenset({"bidirectional"})
    HAS_NEXT_TOKENS: ClassVar[bool] = False
    # The head reads the chosen tokens alone.
    COUNTS_OPERATIONS: ClassVar[bool] = False

    kind: Literal["masked"] = Field("masked", description="training objective: the tokens that are hidden, from those around them")
    share: float = Field(0.15, gt=0, lt=1, description="share of a row's tokens that are chosen to be predicted, at least one; fraction")
    masked_share: float = Field(0.8, ge=0, le=1, description="share of the chosen tokens that become the mask; fraction")
    random_share: float = Field(
        0.1, ge=0, le=1, description="share of the chosen tokens that become a token drawn from the vocabulary; the rest stay; fraction"
    )
    hiding_seed: int = Field(0, ge=0, description="decides, with a row's position, which of its tokens are chosen; integer")

    @model_validator(mode="after")
    def _shares_fit(self) -> MaskedConfig:
        if self.masked_share + self.random_share > 1:
            raise ValueError(
                f"masked_share={self.masked_share} and random_share={self.random_share} are more than all chosen tokens; lower one"
            )
        return self

    @property
    def read_share(self) -> float:
        return self.share

    def build_objective(self) -> Masked:
        """Return the objective that this config describes."""
        from model.objectives.masked import Masked

        return Masked(self.share, self.masked_share, self.random_share, self.hiding_seed, self.within_documents)
