"""What kinds of tuning share that learn from replies which the model samples itself. Cheap to import (pydantic alone)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from model.networks.base import Ability
from model.rollouts.config import RolloutConfig
from model.training.train_config import RowKind, TuningConfig

if TYPE_CHECKING:
    from model.aims.sampled_reward import SampledRewardAim

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
    REQUIRES: ClassVar[frozenset[Ability]] = frozenset({"causal", "generation"})
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
        from model.aims.sampled_reward import SampledRewardAim

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
