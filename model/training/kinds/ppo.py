"""Reinforcement learning from replies that the model samples itself, with values and a reward model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from model.names import NAME_PATTERN, NOT_IDENTITY
from model.rollouts.config import ReturnsConfig
from model.training.tuning.sampled import SampledConfig

if TYPE_CHECKING:
    from data.shards.schema import Array
    from model.aims.sampled_reward import SampledRewardAim
    from model.loading.source import BatchShare
    from model.objectives.ppo import Ppo
    from model.objectives.protocol import Objective
    from model.rollouts.policy import Policy
    from model.rollouts.rollouts import Rollouts
    from model.training.job import Job


class PpoConfig(SampledConfig):
    """Proximal policy optimization: tokens that led to more than a value head expected become likelier."""

    TITLE: ClassVar[str] = "reinforcement learning with values"
    HEADS: ClassVar[tuple[str, ...]] = ("value",)

    kind: Literal["ppo"] = Field("ppo", description="training objective: replies that earn more than the model's own value expects")
    name: str = Field("ppo", pattern=NAME_PATTERN, json_schema_extra=NOT_IDENTITY, description="its position is tune.<name>; name")
    reward_model: str = Field("", description="earlier step of kind reward whose model scores replies besides; empty: none; name")
    reward_weight: float = Field(1.0, allow_inf_nan=False, description="factor of the reward model's score in the sum of all rewards")
    returns: ReturnsConfig = Field(
        default_factory=ReturnsConfig, description="how rewards become advantages, and what bounds the divergence"
    )
    value_clip: float = Field(0.2, gt=0, description="furthest that a value may move from what it was at sampling and be learned from")
    value_weight: float = Field(0.1, gt=0, description="weight of the values' loss beside the policy's")

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {**SampledConfig.NEEDS, "reward_weight": ("reward_model",)}

    @model_validator(mode="after")
    def _every_reply_teaches(self) -> PpoConfig:
        if self.rollouts.resample:
            raise ValueError(
                f"rollouts.resample={self.rollouts.resample} does not fit kind=ppo, which compares a reply with what a value head expects: "
                "a group that earned the same teaches too; set it to 0"
            )
        return self

    @property
    def judge(self) -> str:
        """The name of the earlier step whose model scores its replies; empty: none."""
        return self.reward_model

    def aim(self) -> SampledRewardAim:
        """Return the aim: replies with a higher reward, including the reward model's."""
        return super().aim().model_copy(update={"judged": self.reward_weight if self.judge else None})

    def build_objective(self) -> Ppo:
        """Return the objective that this config describes."""
        from model.objectives.ppo import Ppo
        from model.rollouts.cycle import JUDGED

        rewards = (*(reward.label for reward in self.rollouts.rewards), *((JUDGED,) if self.reward_model else ()))
        return Ppo(
            clip_low=self.clip_low,
            clip_high=self.clip_high,
            value_clip=self.value_clip,
            value_weight=self.value_weight,
            temperature=self.rollouts.temperature,
            rewards=rewards,
            judged=bool(self.reward_model),
            verified=self.rollouts.verifier is not None,
        )

    def build_source(self, job: Job, objective: Objective, share: BatchShare, policy: Policy) -> Rollouts:
        """Return the replies that the policy samples to the job's questions, each appraised before it is written."""
        from model.loading.joined_rows import HeldRows
        from model.loading.source import shared_batches
        from model.rollouts.returns import appraise, kl_weight
        from model.training.job_rollouts import job_rollouts

        def appraised(rows: dict[str, Array], before: Path) -> dict[str, Array]:
            length = rows["tokens"].shape[1] - 1
            numbers = policy.cached(shared_batches(HeldRows(rows), objective, share), len(rows["tokens"]), 1 + 2 * length)
            return appraise(rows, numbers, self.returns, kl_weight(before, self.returns), self.reward_weight if self.judge else None)

        return job_rollouts(job, self.rollouts, objective, share, policy, appraised)
