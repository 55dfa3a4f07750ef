"""How rollouts are made. Cheap to import: pydantic only."""

from __future__ import annotations

from pydantic import BaseModel, Field, field_validator

from model.rewards.config import AnswerReward, RewardConfig


class RolloutConfig(BaseModel, frozen=True, extra="forbid"):
    """Which replies are sampled, how often, and what they are rewarded for."""

    prompts: int = Field(8, ge=1, description="prompts of a cycle: the replies to them are sampled at once, before its first update; count")
    group: int = Field(8, ge=2, description="replies sampled to each prompt, whose rewards are compared with each other; count")
    inner_epochs: int = Field(1, ge=1, description="times that a cycle's replies are learned from before new ones are sampled; count")
    max_new_tokens: int = Field(32, ge=1, description="longest reply; tokens")
    temperature: float = Field(1.0, gt=0, le=100, allow_inf_nan=False, description="divides the logits, in sampling and in the loss")
    rewards: tuple[RewardConfig, ...] = Field(
        (AnswerReward(),), min_length=1, description="what a reply is rewarded for; their weighted sum is its reward; list of rewards"
    )

    @field_validator("rewards")
    @classmethod
    def _each_kind_once(cls, rewards: tuple[RewardConfig, ...]) -> tuple[RewardConfig, ...]:
        kinds = [reward.kind for reward in rewards]
        if double := sorted({kind for kind in kinds if kinds.count(kind) > 1}):
            raise ValueError(f"rewards names kind={double[0]} twice; give it once, with the sum of the weights")
        return rewards

    @property
    def replies(self) -> int:
        """Replies of a cycle: the rows that its updates learn from."""
        return self.prompts * self.group
