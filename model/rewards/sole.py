"""The reward for a right answer without a wrong one: listing all answers to be safe earns nothing."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from model.rewards.answers import answer_of, contains
from model.rewards.protocol import Reply, Reward, RewardBase


class SoleReward(RewardBase):
    """1 for a reply that contains an accepted answer and none of the question's other choices, else 0."""

    kind: Literal["sole"] = Field("sole", description="reward: a right answer anywhere in the reply, and no other choice of the question")

    def build(self) -> Reward:
        """Return the reward."""
        return SoleAnswer()


class SoleAnswer:
    """1 if the whole reply contains an accepted answer, and no choice that none of them contains, else 0."""

    def score(self, reply: Reply) -> float:
        accepted = reply.question["answers"]
        others = [choice for choice in reply.question.get("choices", ()) if not any(contains(answer, [choice]) for answer in accepted)]
        said = answer_of(reply.text)
        return float(contains(said, accepted) and not contains(said, others))
