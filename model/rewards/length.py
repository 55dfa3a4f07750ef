"""A penalty for long replies that grows softly (DAPO's overlong punishment, Yu et al., 2025)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from model.rewards.protocol import Reply, Reward, RewardBase


class LengthReward(RewardBase):
    """0 for a reply of up to `limit - allowance` tokens, falling to -1 at `limit`, and -1 beyond."""

    kind: Literal["length"] = Field("length", description="reward: 0 for a short reply, down to -1 for a long one")
    limit: int = Field(ge=1, description="length from which the whole penalty counts; tokens")
    allowance: int = Field(ge=1, description="length below the limit over which the penalty grows from 0; tokens")

    @model_validator(mode="after")
    def _allowance_fits(self) -> LengthReward:
        if self.allowance > self.limit:
            raise ValueError(f"allowance={self.allowance} is more than limit={self.limit}: an empty reply would be punished too; lower it")
        return self

    def build(self) -> Reward:
        """Return the reward."""
        return Length(self.limit, self.allowance)


@dataclass(frozen=True)
class Length:
    """min(0, max(-1, (limit - allowance - tokens) / allowance))."""

    limit: int
    allowance: int

    def score(self, reply: Reply) -> float:
        return min(0.0, max(-1.0, (self.limit - self.allowance - reply.tokens) / self.allowance))
