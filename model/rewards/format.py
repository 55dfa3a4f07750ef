"""The reward for a reply of a given form."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, field_validator

from model.rewards.protocol import Reply, Reward, RewardBase


class FormatReward(RewardBase):
    """1 for a reply that matches a pattern from its beginning to its end, else 0."""

    kind: Literal["format"] = Field("format", description="reward: the form of the reply")
    pattern: str = Field(min_length=1, description="what the whole reply must match, where . matches line ends too; regular expression")

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern)
        except re.error as error:
            raise ValueError(f"pattern={pattern!r} is not a regular expression: {error}") from error
        return pattern

    def build(self) -> Reward:
        """Return the reward."""
        return Format(re.compile(self.pattern, re.DOTALL))


@dataclass(frozen=True)
class Format:
    """1 if the whole reply, without whitespace around it, matches, else 0."""

    pattern: re.Pattern[str]

    def score(self, reply: Reply) -> float:
        return float(self.pattern.fullmatch(reply.text.strip()) is not None)
