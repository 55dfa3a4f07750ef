"""Every aim, tagged by `kind`: a config, and its name here. A kind of training builds its own.

Cheap to import: pydantic only."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from model.aims.held_out import AnswerLossAim, LogRatioAim, OddsRatioAim, RankingAim, SignedRewardAim, TokenRatioAim
from model.aims.sampled_reward import SampledRewardAim

AnyAim = AnswerLossAim | LogRatioAim | OddsRatioAim | RankingAim | SampledRewardAim | SignedRewardAim | TokenRatioAim
AimConfig = Annotated[AnyAim, Field(discriminator="kind")]


class ExamineConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Settings of measuring a step's aim before and after it."""

    aim: AimConfig = Field(description="what the step is for; kind and its settings")
    rows: int = Field(ge=1, description="rows, pairs, answers or prompts that the aim is measured on; count")
    text: bool = Field(description="measure held-out text too; yes or no")
    questions: bool = Field(description="ask the seen and held-out questions too; yes or no")
    answer_tokens: int = Field(32, ge=1, description="most tokens of an answer; tokens")
    text_rows: int | None = Field(1024, ge=1, description="rows of held-out text that are measured; rows; null: all")
    confidence: float = Field(0.95, gt=0.5, lt=1, description="probability that the interval of the gain is meant to cover; fraction")
    seed: int = Field(0, ge=0, description="of rows, replies and resamples; integer")
