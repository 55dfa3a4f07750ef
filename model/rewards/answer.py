"""The reward for a right answer."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from model.rewards.answers import is_right
from model.rewards.protocol import Reply, Reward, RewardBase


class AnswerReward(RewardBase):
    """1 for a reply whose first sentence contains an accepted answer, else 0."""

    kind: Literal["answer"] = Field("answer", description="reward: a right answer")

    def build(self) -> Reward:
        """Return the reward."""
        return RightAnswer()


class RightAnswer:
    """1 if the reply's first sentence contains an accepted answer, else 0: what evaluation counts as right."""

    def score(self, reply: Reply) -> float:
        return float(is_right(reply.text, reply.question["answers"]))
