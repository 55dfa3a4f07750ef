"""Reinforcement learning from replies that the model samples itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from model.names import NAME_PATTERN, NOT_IDENTITY
from model.networks.base import Ability
from model.rollouts.config import RolloutConfig
from model.training.train_config import RowKind, TuningConfig

if TYPE_CHECKING:
    from model.loading.source import BatchShare
    from model.objectives.grpo import Grpo
    from model.objectives.protocol import Objective
    from model.rollouts.policy import Policy
    from model.rollouts.rollouts import Rollouts
    from model.training.job import Job


class GrpoConfig(TuningConfig):
    """Group relative policy optimization: replies that earn more than others to the same question become likelier."""

    READS: ClassVar[RowKind] = "questions"
    TITLE: ClassVar[str] = "reinforcement learning"
    REQUIRES: ClassVar[frozenset[Ability]] = frozenset({"causal", "generation"})
    INPUTS: ClassVar[tuple[str, ...]] = ("questions", "tokenizer")
    MODELS: ClassVar[tuple[str, ...]] = ("reference",)
    HAS_NEXT_TOKENS: ClassVar[bool] = False
    COMPARES: ClassVar[bool] = True
    # Two models read each reply, and sampling it is not counted.
    COUNTS_OPERATIONS: ClassVar[bool] = False

    kind: Literal["grpo"] = Field("grpo", description="training objective: replies that earn a higher reward than others to their question")
    name: str = Field("grpo", pattern=NAME_PATTERN, json_schema_extra=NOT_IDENTITY, description="its position is tune.<name>; name")
    steps: int = Field(100, ge=1, description="optimizer steps; each learns from global_batch replies")
    global_batch: int = Field(64, ge=1, description="replies per step, over all workers; a divisor of rollouts.prompts * rollouts.group")
    learning_rate: float = Field(1e-5, gt=0, description="peak learning rate")
    warmup_steps: int = Field(
        5, ge=0, description="steps over which the learning rate rises to its peak, the default within a shorter run too; 0: none"
    )
    weight_decay: float = Field(0.0, ge=0, description="weight decay of matrices, embeddings included; none for norms and biases")
    eval_rows: int = Field(0, ge=0, le=0, description="always 0: a reply's worth is known once it is sampled; see `reward` in the step log")
    rollouts: RolloutConfig = Field(default_factory=RolloutConfig, description="which replies are sampled, and what they are rewarded for")
    clip_low: float = Field(
        0.2, gt=0, lt=1, description="largest fall of a token's probability, relative to sampling, that is learned from"
    )
    clip_high: float = Field(0.2, gt=0, description="largest rise of a token's probability, relative to sampling, that is learned from")
    kl_weight: float = Field(0.04, ge=0, description="strength of the pull towards the reference model; 0: none, and no reference")
    aggregation: Literal["sequence", "token", "constant"] = Field(
        "sequence", description="mean over each reply's tokens, then replies (GRPO); over all tokens (DAPO); over max_new_tokens (Dr. GRPO)"
    )
    scale: Literal["group", "batch", "none"] = Field(
        "group", description="standard deviation of rewards that advantages are divided by: the group's, the whole batch's, or none"
    )

    @model_validator(mode="after")
    def _batches_fill_cycles(self) -> GrpoConfig:
        if self.rollouts.replies % self.global_batch:
            raise ValueError(
                f"global_batch={self.global_batch} does not divide the {self.rollouts.replies} replies of rollouts.prompts="
                f"{self.rollouts.prompts} * rollouts.group={self.rollouts.group}; choose a divisor"
            )
        for key in ("tokens", "batch_warmup_steps"):
            if value := getattr(self, key):
                raise ValueError(f"{key}={value} does not fit kind=grpo, whose steps and batches are counted in replies; set it to 0")
        return self

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
        )

    def build_source(self, job: Job, objective: Objective, share: BatchShare, policy: Policy) -> Rollouts:
        """Return the replies that the policy samples to the job's questions."""
        from model.training.job_rollouts import job_rollouts

        return job_rollouts(job, self.rollouts, objective, share, policy)
