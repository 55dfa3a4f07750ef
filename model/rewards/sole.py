"""The reward for a right answer without a wrong one: listing all answers to be safe earns nothing."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from model.rewards.answers import answer_of, contains, numbers
from model.rewards.protocol import Reply, Reward, RewardBase


class SoleReward(RewardBase):
    """1 for a reply that contains an accepted answer and none of the question's other choices, else 0.

    Of a question without choices whose answer is a number the other choices are all numbers that the question doesn't state itself.
    """

    kind: Literal["sole"] = Field("sole", description="reward: a right answer anywhere in the reply, and no other choice or number")

    def build(self) -> Reward:
        """Return the reward."""
        return SoleAnswer()


class SoleAnswer:
    """1 if the whole reply after thinking contains an accepted answer, and no choice that none of them contains, else 0."""

    def score(self, reply: Reply) -> float:
        accepted, choices, said = reply.question["answers"], reply.question.get("choices", ()), answer_of(reply.text)
        if not contains(said, accepted):
            return 0.0
        right = {value for answer in accepted for value in numbers(answer)}
        if right and not choices:
            return float(right.union(numbers(reply.question["question"])).issuperset(numbers(said)))
        return float(not contains(said, [choice for choice in choices if not any(contains(answer, [choice]) for answer in accepted)]))
