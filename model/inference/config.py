"""Settings of sampling, and of vectors of texts. Cheap to import: pydantic only."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field

LEAST_TEMPERATURE = 1e-4  # a smaller one is no number in fp32, or makes the logits infinite


def _draws(temperature: float) -> float:
    if 0 < temperature < LEAST_TEMPERATURE:
        raise ValueError(f"{temperature:g} is too small to divide by: give 0, which takes the likeliest token, or at least 0.0001")
    return temperature


Temperature = Annotated[float, AfterValidator(_draws), Field(allow_inf_nan=False)]
PositiveTemperature = Annotated[float, Field(ge=LEAST_TEMPERATURE, le=100, allow_inf_nan=False)]
Penalty = Annotated[float, Field(ge=0.01, allow_inf_nan=False)]
Bias = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
TokenId = Annotated[int, Field(ge=0)]


class SamplingConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The choice of the next token: biases and penalties change logits, then come temperature, top_k, top_p and min_p."""

    temperature: Temperature = Field(
        0.0, ge=0, le=100, description="divides the logits; 0 takes the likeliest token (greedy), others are at least 0.0001"
    )
    top_k: int | None = Field(None, ge=1, description="draw among the k likeliest tokens only; tokens; null: all")
    top_p: float | None = Field(
        None, gt=0, le=1, description="draw among the fewest likeliest tokens of at least this probability; null: all"
    )
    min_p: float | None = Field(
        None, ge=0, le=1, description="draw among tokens at least this share as probable as the likeliest; share; null: all"
    )
    repetition_penalty: Penalty = Field(
        1.0, le=100, description="makes tokens of prompt and reply less likely above 1 (CTRL's rule); factor"
    )
    presence_penalty: float = Field(
        0.0, ge=-100, le=100, allow_inf_nan=False, description="is subtracted from the logit of each token that the reply holds; nats"
    )
    frequency_penalty: float = Field(
        0.0, ge=-100, le=100, allow_inf_nan=False, description="is subtracted from a token's logit each time the reply holds it; nats"
    )
    logit_bias: tuple[tuple[TokenId, Bias], ...] = Field((), description="what is added to the logits of these tokens; token and nats")
    max_new_tokens: int = Field(256, ge=1, description="longest reply; tokens")

    @property
    def adjusts(self) -> bool:
        """Whether logits depend on the prompt or the reply, or on a bias."""
        return bool(self.logit_bias) or (self.repetition_penalty, self.presence_penalty, self.frequency_penalty) != (1.0, 0.0, 0.0)


class EmbedConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The settings by which passages become vectors."""

    passage_prefix: str = Field("", description="put before each passage, as some models of vectors ask, such as 'passage: '; text")
