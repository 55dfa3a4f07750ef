"""The reward of reasoning-gym's own scorers, for questions that are its problems. An extra: pip install 'folio[gym]'."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from model.rewards.answers import answer_of
from model.rewards.protocol import Reply, Reward, RewardBase


class GymReward(RewardBase):
    """What reasoning-gym's scorer of the question's data set gives the reply: 1 for a right one, and for some data sets parts of it."""

    ASKED: ClassVar[tuple[str, ...]] = ("gym",)

    kind: Literal["gym"] = Field("gym", description="reward: what the scorer of reasoning-gym gives for its problems, 0 to 1")

    def build(self) -> Reward:
        """Return the reward."""
        return GymScore()


class GymScore:
    """The scorer's number for what the reply says after thinking; 0 for a question that is not one of its problems."""

    def score(self, reply: Reply) -> float:
        entry = reply.question.get("entry")
        return score_entry(answer_of(reply.text), entry) if entry is not None else 0.0


def score_entry(answer: str, entry: Mapping[str, Any]) -> float:
    """Return what the scorer of an entry's data set gives an answer, 0 to 1."""
    import reasoning_gym

    scorer = reasoning_gym.get_score_answer_fn(entry["metadata"]["source_dataset"])
    try:
        found = float(scorer(answer.strip(), dict(entry)))
    except Exception:  # noqa: BLE001  # scorers raise anything for a reply of another form; such a reply earns nothing
        return 0.0
    return min(1.0, max(0.0, found))
