"""The reward for a right answer."""

from __future__ import annotations

from model.rewards.answers import is_right
from model.rewards.protocol import Reply


class RightAnswer:
    """1 if the reply's first sentence contains an accepted answer, else 0: what evaluation counts as right."""

    def score(self, reply: Reply) -> float:
        return float(is_right(reply.text, reply.question["answers"]))
