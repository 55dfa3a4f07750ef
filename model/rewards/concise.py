"""The reward for stopping after an answer, which the reward for a right one does not see."""

from __future__ import annotations

from model.rewards.answers import first_sentence
from model.rewards.protocol import Reply


class Concise:
    """1 if the reply is one sentence and the model ended it by itself, else 0."""

    def score(self, reply: Reply) -> float:
        text = reply.text.strip()
        return float(reply.ended and bool(text) and first_sentence(text) == text)
