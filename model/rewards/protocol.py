"""The interface between rollouts and a reward. Cheap to import: pydantic only."""

from __future__ import annotations

from typing import ClassVar, NamedTuple, Protocol

from pydantic import BaseModel, Field

from model.rewards.answers import Question


class Reply(NamedTuple):
    """A reply that a model sampled to a question; `ended`: it stopped by itself, not at the limit of its length; `tokens`: its length."""

    question: Question
    text: str
    ended: bool
    tokens: int = 0


class Reward(Protocol):
    """A number for a reply: the larger the better. A function of the reply alone, so rollouts are reproducible."""

    def score(self, reply: Reply) -> float:
        """Return the reward, without its weight."""
        ...


class RewardBase(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Settings common to all rewards. A kind is one file: this with `kind` and its own settings, and what it builds.

    `ASKED`: the sets of questions whose replies it can judge; empty: those of any.
    """

    ASKED: ClassVar[tuple[str, ...]] = ()

    kind: str
    name: str = Field("", pattern=r"^([a-z][a-z0-9_]*)?$", description="what the step log calls it; empty: its kind; name")
    weight: float = Field(1.0, allow_inf_nan=False, description="factor of this reward in the sum of all; negative: a penalty")

    @property
    def label(self) -> str:
        """What it is called."""
        return self.name or self.kind

    def build(self) -> Reward:
        """Return the reward that these settings describe."""
        raise NotImplementedError
