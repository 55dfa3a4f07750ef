"""A reward model on pairs of answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from model.names import NAME_PATTERN, NOT_IDENTITY
from model.training.tuning.preference import PreferenceConfig

if TYPE_CHECKING:
    from model.aims.ranking import RankingAim
    from model.objectives.reward_model import RewardModel


class RewardModelConfig(PreferenceConfig):
    """A reward model: the model so far learns to score answers. Later steps may score replies by it; the policy stays what it was."""

    TITLE: ClassVar[str] = "reward model"
    HEADS: ClassVar[tuple[str, ...]] = ("reward",)
    MAKES_POLICY: ClassVar[bool] = False

    kind: Literal["reward"] = Field("reward", description="training objective: to score the chosen answer higher than the rejected one")
    name: str = Field("reward", pattern=NAME_PATTERN, json_schema_extra=NOT_IDENTITY, description="its position is tune.<name>; name")
    learning_rate: float = Field(2e-4, gt=0, description="peak learning rate")
    centre: float = Field(0.01, ge=0, description="weight of the squared sum of both scores, which keeps them near 0; 0: none")

    def aim(self) -> RankingAim:
        """Return the aim: a higher reward for the chosen answer than for the rejected one."""
        from model.aims.ranking import RankingAim

        return RankingAim(kind="ranking")

    def own_objective(self) -> RewardModel:
        """Return the objective over pairs alone."""
        from model.objectives.reward_model import RewardModel

        return RewardModel(self.centre)
