"""Settings of rollouts. Cheap to import: pydantic only."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, Field, field_validator, model_validator

from model.inference.config import PositiveTemperature
from model.rewards.kinds import AnswerReward, RewardConfig


class RolloutConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Which replies are sampled, how often, and what they are rewarded for."""

    prompts: int = Field(8, ge=1, description="prompts of a cycle: the replies to them are sampled at once, before its first update; count")
    group: int = Field(8, ge=2, description="replies sampled to each prompt, whose rewards are compared with each other; count")
    inner_epochs: int = Field(1, ge=1, description="times that a cycle's replies are learned from before new ones are sampled; count")
    max_new_tokens: int = Field(32, ge=1, description="longest reply; tokens")
    temperature: PositiveTemperature = Field(1.0, description="divides the logits, in sampling and in the loss")
    rewards: tuple[RewardConfig, ...] = Field(
        (AnswerReward(),), min_length=1, description="what a reply is rewarded for; their weighted sum is its reward; list of rewards"
    )

    verifier: RewardConfig | None = Field(
        None,
        description="what marks a reply besides, without being a reward: where rewards rise and this does not, the policy has found a way "
        "round them; a kind that is not among the rewards; null: none",
    )
    resample: int = Field(
        0,
        ge=0,
        le=100,
        description="rounds in which groups whose replies all earned the same, and so teach nothing, are sampled again to other prompts "
        "(DAPO's dynamic sampling); 0: none; count",
    )

    @field_validator("rewards")
    @classmethod
    def _each_name_once(cls, rewards: tuple[RewardConfig, ...]) -> tuple[RewardConfig, ...]:
        kinds, names = [reward.kind for reward in rewards], [reward.label for reward in rewards]
        if double := sorted({name for name in names if names.count(name) > 1}):
            if double[0] in kinds:
                raise ValueError(f"rewards names kind={double[0]} twice; give it once, with the sum of the weights, or each a name")
            raise ValueError(f"rewards has two called {double[0]!r}; give each a name of its own")
        return rewards

    @model_validator(mode="after")
    def _verifier_is_apart(self) -> RolloutConfig:
        if self.verifier is not None and self.verifier.kind in {reward.kind for reward in self.rewards}:
            raise ValueError(
                f"verifier.kind={self.verifier.kind} is a reward too, so it can't tell whether the policy only pleases the rewards; use "
                "another kind"
            )
        return self

    @property
    def replies(self) -> int:
        """Replies of a cycle: the rows that its updates learn from."""
        return self.prompts * self.group


class ReturnsConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Settings of turning rewards into advantages, and of the penalty that holds the policy near the reference."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {"kl_target": ("kl_weight",), "horizon": ("kl_target",)}

    gamma: float = Field(1.0, gt=0, le=1, description="factor of what comes one token later; fraction")
    lam: float = Field(
        0.95, ge=0, le=1, description="1: advantages follow the rewards alone; 0: the values of the next token alone; fraction"
    )
    kl_weight: float = Field(0.05, ge=0, description="reward taken for each nat of divergence from the model before, at first; 0: none")
    kl_target: float = Field(
        0.0, ge=0, description="divergence of a whole reply that the weight is steered to; 0: the weight stays as it is; nats"
    )
    horizon: int = Field(1000, ge=1, description="replies over which the weight may change by a fifth; at least a cycle's; count")
