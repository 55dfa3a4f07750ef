"""The reward for a right number."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from model.rewards.answers import answer_of, numbers
from model.rewards.protocol import Reply, Reward, RewardBase


class NumberReward(RewardBase):
    """1 for a reply whose last number equals an accepted answer, else 0."""

    kind: Literal["number"] = Field("number", description="reward: a right number, the last one of the reply")

    def build(self) -> Reward:
        """Return the reward."""
        return RightNumber()


class RightNumber:
    """1 if the reply's last number has the value of an accepted answer, else 0. An answer that isn't a number never matches."""

    def score(self, reply: Reply) -> float:
        said = numbers(answer_of(reply.text))
        wanted = {value for answer in reply.question["answers"] for value in numbers(answer)[-1:]}
        return float(bool(said) and said[-1] in wanted)
