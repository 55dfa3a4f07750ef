"""Reinforcement learning from replies that the model samples itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from model.names import NAME_PATTERN, NOT_IDENTITY
from model.training.tuning.sampled import SampledConfig

if TYPE_CHECKING:
    from model.loading.source import BatchShare
    from model.objectives.grpo import Grpo
    from model.objectives.protocol import Objective
    from model.rollouts.policy import Policy
    from model.rollouts.rollouts import Rollouts
    from model.training.job import Job


class GrpoConfig(SampledConfig):
    """Group relative policy optimization: replies that earn more than others to the same question become likelier."""

    kind: Literal["grpo"] = Field("grpo", description="training objective: replies that earn a higher reward than others to their question")
    name: str = Field("grpo", pattern=NAME_PATTERN, json_schema_extra=NOT_IDENTITY, description="its position is tune.<name>; name")
    kl_weight: float = Field(0.04, ge=0, description="strength of the pull towards the reference model; 0: none, and no reference")
    aggregation: Literal["sequence", "token", "constant"] = Field(
        "sequence", description="mean over each reply's tokens, then replies (GRPO); over all tokens (DAPO); over max_new_tokens (Dr. GRPO)"
    )
    scale: Literal["group", "batch", "none"] = Field(
        "group", description="standard deviation of rewards that advantages are divided by: the group's, the whole batch's, or none"
    )

    def build_objective(self) -> Grpo:
        """Return the objective that this config describes."""
        from model.objectives.grpo import Grpo

        return Grpo(
            max_new_tokens=self.rollouts.max_new_tokens,
            clip_low=self.clip_low,
            clip_high=self.clip_high,
            kl_weight=self.kl_weight,
            temperature=self.rollouts.temperature,
            aggregation=self.aggregation,
            scale=self.scale,
            rewards=tuple(reward.label for reward in self.rollouts.rewards),
            verified=self.rollouts.verifier is not None,
        )

    def build_source(self, job: Job, objective: Objective, share: BatchShare, policy: Policy) -> Rollouts:
        """Return the replies that the policy samples to the job's questions."""
        from model.training.job_rollouts import job_rollouts

        return job_rollouts(job, self.rollouts, objective, share, policy)
