"""Direct preference optimization on pairs of answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from model.names import NAME_PATTERN, NOT_IDENTITY
from model.training.tuning.preference import ReferenceConfig

if TYPE_CHECKING:
    from model.aims.log_ratio import LogRatioAim
    from model.aims.token_ratio import TokenRatioAim
    from model.objectives.dpo import Dpo


class DpoConfig(ReferenceConfig):
    """Direct preference optimization, relative to the model before this training."""

    kind: Literal["dpo"] = Field("dpo", description="training objective: to prefer the chosen answer to the rejected one")
    name: str = Field("dpo", pattern=NAME_PATTERN, json_schema_extra=NOT_IDENTITY, description="its position is tune.<name>; name")
    beta: float = Field(0.1, gt=0, description="strength of the pull towards the reference model; larger keeps the model closer to it")
    loss: Literal["sigmoid", "hinge", "ipo"] = Field(
        "sigmoid",
        description="what is made of a pair's margin: sigmoid pushes ever less the larger it is, hinge no more once it is 1, ipo aims at "
        "1 / (2 beta) nats a token",
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="share of pairs that are taken to be labelled the wrong way round; with loss=sigmoid; fraction"
    )

    @model_validator(mode="after")
    def _smoothing_has_a_loss(self) -> DpoConfig:
        if self.label_smoothing and self.loss != "sigmoid":
            raise ValueError(f"label_smoothing={self.label_smoothing} does nothing with loss={self.loss}; set it to 0, or loss=sigmoid")
        return self

    def aim(self) -> LogRatioAim | TokenRatioAim:
        """Return the aim: a larger margin between chosen and rejected, per token where the loss is per token."""
        from model.aims.log_ratio import LogRatioAim
        from model.aims.token_ratio import TokenRatioAim

        return TokenRatioAim(kind="token_ratio") if self.loss == "ipo" else LogRatioAim(kind="log_ratio", beta=self.beta)

    def own_objective(self) -> Dpo:
        """Return the objective over pairs alone."""
        from model.objectives.dpo import Dpo

        return Dpo(beta=self.beta, loss=self.loss, label_smoothing=self.label_smoothing, cached=self.reference == "cached")
