"""Odds ratio preference optimization on pairs of answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from model.names import NAME_PATTERN, NOT_IDENTITY
from model.training.tuning.preference import PreferenceConfig

if TYPE_CHECKING:
    from model.aims.odds_ratio import OddsRatioAim
    from model.objectives.orpo import Orpo


class OrpoConfig(PreferenceConfig):
    """Odds ratio preference optimization: fine-tuning on the chosen answers, and preferences, without a reference."""

    kind: Literal["orpo"] = Field(
        "orpo", description="training objective: the chosen answer's words, at better odds than the rejected one's"
    )
    name: str = Field("orpo", pattern=NAME_PATTERN, json_schema_extra=NOT_IDENTITY, description="its position is tune.<name>; name")
    beta: float = Field(0.1, gt=0, description="weight of the odds ratio beside the loss of the chosen answers; factor")
    prompts: bool = Field(False, description="learn the words of the questions too, as the authors' code does; yes or no")

    def aim(self) -> OddsRatioAim:
        """Return the aim: better odds of the chosen answer against the rejected one."""
        from model.aims.odds_ratio import OddsRatioAim

        return OddsRatioAim(kind="odds_ratio")

    def own_objective(self) -> Orpo:
        """Return the objective over pairs alone."""
        from model.objectives.orpo import Orpo

        return Orpo(self.beta, self.prompts)
