"""Every aim, tagged by `kind`: a config that names the function that measures it. A kind of training builds its own.

Cheap to import: pydantic only, since recipes hold aims, and measuring loads torch."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, Field

from model.aims.protocol import AimBase
from model.rewards.kinds import RewardConfig


class AnswerLossAim(AimBase):
    """The loss of held-out answers."""

    MEASURED_BY: ClassVar[str] = "model.aims.held_out:measure_answer_loss"
    MEASURE: ClassVar[str] = "answer_loss"
    TITLE: ClassVar[str] = "loss of held-out answers"
    UNIT: ClassVar[str] = "nats a token"
    COUNTED: ClassVar[str] = "rows"

    kind: Literal["answer_loss"] = Field("answer_loss", description="aim: to find held-out answers likely")
    within_documents: bool = Field(True, description="restrict attention to the same conversation within a packed row")


class LogRatioAim(AimBase):
    """By how much the chosen answer of a pair is likelier."""

    MEASURED_BY: ClassVar[str] = "model.aims.held_out:measure_log_ratio"
    MEASURE: ClassVar[str] = "margin"
    TITLE: ClassVar[str] = "margin of held-out pairs"
    UNIT: ClassVar[str] = "beta times nats"
    COUNTED: ClassVar[str] = "pairs"

    kind: Literal["log_ratio"] = Field("log_ratio", description="aim: the chosen answer likelier than the rejected one")
    beta: float = Field(0.1, gt=0, description="factor of the difference, as the step has it")


class OddsRatioAim(AimBase):
    """At how much better odds the chosen answer of a pair is."""

    MEASURED_BY: ClassVar[str] = "model.aims.held_out:measure_odds_ratio"
    MEASURE: ClassVar[str] = "margin"
    TITLE: ClassVar[str] = "log odds ratio of held-out pairs"
    UNIT: ClassVar[str] = "nats"
    COUNTED: ClassVar[str] = "pairs"

    kind: Literal["odds_ratio"] = Field("odds_ratio", description="aim: the chosen answer at better odds than the rejected one")


class TokenRatioAim(AimBase):
    """By how much the chosen answer of a pair is likelier by token."""

    MEASURED_BY: ClassVar[str] = "model.aims.held_out:measure_token_ratio"
    MEASURE: ClassVar[str] = "margin"
    TITLE: ClassVar[str] = "margin of held-out pairs, by token"
    UNIT: ClassVar[str] = "nats a token, times its factor"
    COUNTED: ClassVar[str] = "pairs"

    kind: Literal["token_ratio"] = Field("token_ratio", description="aim: the chosen answer likelier by token than the rejected one")
    factor: float = Field(1.0, gt=0, description="factor of the difference, as the step has it")


class RankingAim(AimBase):
    """The loss of held-out pairs under the scores of both answers."""

    MEASURED_BY: ClassVar[str] = "model.aims.held_out:measure_ranking"
    OPENED_BY: ClassVar[str] = "model.aims.held_out:open_with_head"
    MEASURE: ClassVar[str] = "ranking_loss"
    TITLE: ClassVar[str] = "Bradley-Terry loss of held-out pairs"
    UNIT: ClassVar[str] = "nats a pair"
    COUNTED: ClassVar[str] = "pairs"

    kind: Literal["ranking"] = Field("ranking", description="aim: to score the chosen answer higher than the rejected one")


class SignedRewardAim(AimBase):
    """The aim to make good answers likely, and bad ones unlikely."""

    MEASURED_BY: ClassVar[str] = "model.aims.held_out:measure_signed_reward"
    MEASURE: ClassVar[str] = "signed_reward"
    TITLE: ClassVar[str] = "reward of held-out good answers, less that of bad ones"
    UNIT: ClassVar[str] = "beta times nats"
    COUNTED: ClassVar[str] = "answers"

    kind: Literal["signed_reward"] = Field("signed_reward", description="aim: good answers likelier, bad ones less, each for itself")
    beta: float = Field(0.1, gt=0, description="factor of a log-probability, as the step has it")


class SampledRewardAim(AimBase):
    """The mean reward of replies to held-out questions."""

    MEASURED_BY: ClassVar[str] = "model.aims.sampled_reward:measure_sampled_reward"
    MEASURE: ClassVar[str] = "reward"
    TITLE: ClassVar[str] = "reward of replies to held-out questions"
    UNIT: ClassVar[str] = "weighted rewards"
    COUNTED: ClassVar[str] = "questions"

    kind: Literal["sampled_reward"] = Field("sampled_reward", description="aim: replies to held-out questions that earn more")
    questions: tuple[str, ...] = Field(min_length=1, description="the examples' files of questions that the step does not ask; names")
    group: int = Field(ge=1, description="replies sampled to each question; count")
    max_new_tokens: int = Field(ge=1, description="longest reply; tokens")
    temperature: float = Field(gt=0, description="divides the logits, as in the step")
    rewards: tuple[RewardConfig, ...] = Field(min_length=1, description="what a reply is rewarded for, as in the step")
    verifier: RewardConfig | None = Field(None, description="what marks a reply besides, as in the step")
    judged: float | None = Field(None, description="weight of a reward model's score in the reward; null: none scores")


AnyAim = AnswerLossAim | LogRatioAim | OddsRatioAim | RankingAim | SampledRewardAim | SignedRewardAim | TokenRatioAim
AimConfig = Annotated[AnyAim, Field(discriminator="kind")]


class ExamineConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The measurements before and after a step."""

    aim: AimConfig = Field(description="what the step is for; kind and its settings")
    rows: int = Field(ge=1, description="rows, pairs, answers or prompts that the aim is measured on; count")
    text: bool = Field(description="measure held-out text too; yes or no")
    questions: bool = Field(description="ask the seen and held-out questions too; yes or no")
    answer_tokens: int = Field(32, ge=1, description="most tokens of an answer; tokens")
    text_rows: int | None = Field(1024, ge=1, description="rows of held-out text that are measured; rows; null: all")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="probability that the interval of the gain is meant to cover; fraction")
    seed: int = Field(0, ge=0, description="of rows, replies and resamples; integer")
