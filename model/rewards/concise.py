"""The reward for stopping after an answer, which the reward for a right one does not see."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from model.rewards.answers import answer_of, first_sentence
from model.rewards.protocol import Reply, Reward, RewardBase


class ConciseReward(RewardBase):
    """1 for a reply of one sentence that the model ended by itself, else 0."""

    kind: Literal["concise"] = Field("concise", description="reward: one sentence, then the end")

    def build(self) -> Reward:
        """Return the reward."""
        return Concise()


class Concise:
    """1 if the reply is one sentence and the model ended it by itself, else 0."""

    def score(self, reply: Reply) -> float:
        text = answer_of(reply.text).strip()
        return float(reply.ended and bool(text) and first_sentence(text) == text)
