"""Simple preference optimization on pairs of answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from model.names import NAME_PATTERN, NOT_IDENTITY
from model.training.tuning.preference import PreferenceConfig

if TYPE_CHECKING:
    from model.aims.token_ratio import TokenRatioAim
    from model.objectives.simpo import Simpo


class SimpoConfig(PreferenceConfig):
    """Simple preference optimization: likelier by token, by a gap, without a reference."""

    kind: Literal["simpo"] = Field("simpo", description="training objective: the chosen answer likelier by token than the rejected one")
    name: str = Field("simpo", pattern=NAME_PATTERN, json_schema_extra=NOT_IDENTITY, description="its position is tune.<name>; name")
    beta: float = Field(2.0, gt=0, description="factor of the mean log-probability of an answer's tokens; larger: the loss is steeper")
    gap: float = Field(
        1.0, ge=0, description="how much larger the chosen answer's reward should be than the rejected one's; beta times nats"
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="share of pairs that are taken to be labelled the wrong way round; fraction"
    )

    def aim(self) -> TokenRatioAim:
        """Return the aim: a larger margin per token between chosen and rejected."""
        from model.aims.token_ratio import TokenRatioAim

        return TokenRatioAim(kind="token_ratio", factor=self.beta)

    def own_objective(self) -> Simpo:
        """Return the objective over pairs alone."""
        from model.objectives.simpo import Simpo

        return Simpo(self.beta, self.gap, self.label_smoothing)
