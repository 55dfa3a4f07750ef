"""What sampled replies are rewarded for. Cheap to import: pydantic only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    from model.rewards.protocol import Reward


class RewardBase(BaseModel, frozen=True, extra="forbid"):
    """Settings common to all rewards."""

    weight: float = Field(1.0, allow_inf_nan=False, description="factor of this reward in the sum of all; negative: a penalty")


class AnswerReward(RewardBase):
    """1 for a reply whose first sentence contains an accepted answer, else 0."""

    kind: Literal["answer"] = Field("answer", description="reward: a right answer")

    def build(self) -> Reward:
        """Return the reward."""
        from model.rewards.answer import RightAnswer

        return RightAnswer()


class ConciseReward(RewardBase):
    """1 for a reply of one sentence that the model ended by itself, else 0."""

    kind: Literal["concise"] = Field("concise", description="reward: one sentence, then the end")

    def build(self) -> Reward:
        """Return the reward."""
        from model.rewards.concise import Concise

        return Concise()


RewardConfig = Annotated[AnswerReward | ConciseReward, Field(discriminator="kind")]
