"""Parse one line of a prompt file."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from model.inference.config import SamplingConfig


class Turn(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """A message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class PromptLine(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """A line: either a text to be continued or a conversation to be answered."""

    id: str | int | None = Field(None, description="repeated with the answer; any name or number")
    prompt: str | None = Field(None, description="the beginning of a text, which is continued; text")
    messages: Annotated[list[Turn], Field(min_length=1)] | None = Field(None, description="a conversation, which is answered; messages")
    seed: int | None = Field(None, description="makes sampling repeatable; by default derived from the run's seed and the line's number")
    settings: dict[str, Any] = Field(default_factory=dict, description="sampling settings for this line alone")

    @model_validator(mode="after")
    def _asks_one_thing(self) -> PromptLine:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either prompt or messages")
        return self


class LineError(ValueError):
    """A line that can't be answered, and why."""


def read_line(text: bytes) -> PromptLine:
    """Parse a line into a request. Raise LineError if it holds none."""
    try:
        return PromptLine.model_validate_json(text)
    except ValidationError as error:
        raise LineError(_fault(error)) from None


def settings_of(line: PromptLine, base: SamplingConfig) -> SamplingConfig:
    """Return the settings of a line. Raise LineError for a wrong one."""
    try:
        return SamplingConfig.model_validate({**base.model_dump(), **line.settings}) if line.settings else base
    except ValidationError as error:
        raise LineError(f"settings.{_fault(error)}") from None


def seed_of(line: PromptLine, seed: int, number: int) -> int:
    """Return the seed of a line."""
    return line.seed if line.seed is not None else int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:8]) >> 1


def _fault(error: ValidationError) -> str:
    wrong = error.errors(include_url=False)[0]
    place = ".".join(map(str, wrong["loc"]))
    said = wrong["msg"].removeprefix("Value error, ")
    return f"{place}: {said}" if place else said
