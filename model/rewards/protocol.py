"""The interface between rollouts and a reward."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from model.rewards.answers import Question


class Reply(NamedTuple):
    """A reply that a model sampled to a question; `ended`: it stopped by itself, not at the limit of its length."""

    question: Question
    text: str
    ended: bool


class Reward(Protocol):
    """A number for a reply: the larger the better. A function of the reply alone, so that rollouts can be made again."""

    def score(self, reply: Reply) -> float:
        """Return the reward, without its weight."""
        ...
