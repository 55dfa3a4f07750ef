"""Tuning by replies that the model samples itself: GRPO, and PPO with its values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from model.aims.config import SampledRewardAim
from model.names import NAME_PATTERN, NOT_IDENTITY
from model.networks.base import Ability
from model.rollouts.config import ReturnsConfig, RolloutConfig
from model.training.train_config import RowKind, TuningConfig

if TYPE_CHECKING:
    from data.shards.schema import Array
    from model.loading.source import BatchShare
    from model.networks.base import NetworkBase
    from model.objectives.grpo import Grpo
    from model.objectives.ppo import Ppo
    from model.objectives.protocol import Objective
    from model.rollouts.cycle import Policy
    from model.rollouts.rollouts import Rollouts
    from model.training.job import Job

# The examples' files of questions that a step with these `questions` never asks.
HELD_OUT = {
    "seen": ("questions_heldout",),
    "reasoning": ("questions_hops", "questions_arithmetic"),
    "practised": ("questions_hops", "questions_arithmetic"),
    "passages": ("questions_events",),
    "programs": ("questions_program_templates",),
    "gym": ("questions_gym_heldout",),
}


class SampledConfig(TuningConfig):
    """A step of tuning whose rows are sampled replies."""

    READS: ClassVar[RowKind] = "questions"
    TITLE: ClassVar[str] = "reinforcement learning"
    REQUIRES: ClassVar[frozenset[Ability]] = frozenset({"causal", "generation", "gradients"})
    INPUTS: ClassVar[tuple[str, ...]] = ("questions", "tokenizer")
    MODELS: ClassVar[tuple[str, ...]] = ("reference",)
    HAS_NEXT_TOKENS: ClassVar[bool] = False
    COMPARES: ClassVar[bool] = True
    # Two models read each reply, and sampling it is not counted.
    COUNTS_OPERATIONS: ClassVar[bool] = False

    steps: int = Field(100, ge=1, description="optimizer steps; each learns from global_batch replies")
    global_batch: int = Field(64, ge=1, description="replies per step, over all workers; a divisor of rollouts.prompts * rollouts.group")
    learning_rate: float = Field(1e-5, gt=0, description="peak learning rate")
    warmup_steps: int = Field(
        5, ge=0, description="steps over which the learning rate rises to its peak, the default within a shorter run too; 0: none"
    )
    weight_decay: float = Field(0.0, ge=0, description="weight decay of matrices, embeddings included; none for norms and biases")
    eval_rows: int = Field(0, ge=0, le=0, description="always 0: a reply's worth is known once it is sampled; see `reward` in the step log")
    questions: Literal["seen", "reasoning", "practised", "passages", "programs", "gym"] = Field(
        "seen",
        description="which of the examples' questions are asked: about single seen facts, those that take reasoning, both and what is in "
        "no book (practised), passages whose next event is to be told, programs to write, or problems of reasoning-gym; name",
    )
    rollouts: RolloutConfig = Field(default_factory=RolloutConfig, description="which replies are sampled, and what they are rewarded for")
    clip_low: float = Field(
        0.2, gt=0, lt=1, description="largest fall of a token's probability, relative to sampling, that is learned from"
    )
    clip_high: float = Field(0.2, gt=0, description="largest rise of a token's probability, relative to sampling, that is learned from")

    @model_validator(mode="after")
    def _batches_fill_cycles(self) -> Self:
        if self.rollouts.replies % self.global_batch:
            raise ValueError(
                f"global_batch={self.global_batch} does not divide the {self.rollouts.replies} replies of rollouts.prompts="
                f"{self.rollouts.prompts} * rollouts.group={self.rollouts.group}; choose a divisor"
            )
        for key in ("tokens", "batch_warmup_steps"):
            if value := getattr(self, key):
                raise ValueError(
                    f"{key}={value} does not fit kind={self.kind}, whose steps and batches are counted in replies; set it to 0"
                )
        return self

    @property
    def asks(self) -> str:
        """The examples' file of the questions that it samples replies to."""
        return f"questions_{self.questions}.jsonl"

    def aim(self) -> SampledRewardAim:
        """Return the aim: a higher reward on questions that training never asks."""
        rollouts = self.rollouts
        return SampledRewardAim(
            kind="sampled_reward",
            questions=HELD_OUT[self.questions],
            group=rollouts.group,
            max_new_tokens=rollouts.max_new_tokens,
            temperature=rollouts.temperature,
            rewards=rollouts.rewards,
            verifier=rollouts.verifier,
        )


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

    def build_objective(self, network: NetworkBase) -> Grpo:
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
        from model.training.job_batches import job_rollouts

        return job_rollouts(job, self.rollouts, objective, share, policy)


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

    def build_objective(self, network: NetworkBase) -> Ppo:
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
        from model.training.job_batches import job_rollouts

        def appraised(rows: dict[str, Array], before: Path) -> dict[str, Array]:
            length = rows["tokens"].shape[1] - 1
            numbers = policy.cached(shared_batches(HeldRows(rows), objective, share), len(rows["tokens"]), 1 + 2 * length)
            return appraise(rows, numbers, self.returns, kl_weight(before, self.returns), self.reward_weight if self.judge else None)

        return job_rollouts(job, self.rollouts, objective, share, policy, appraised)
