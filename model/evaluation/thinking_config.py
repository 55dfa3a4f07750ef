"""How much thinking is tried. Cheap to import: pydantic only."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, Field, model_validator

from model.inference.config import PositiveTemperature

QuestionSet = Literal[
    "follow_ups",
    "reasoning",
    "hops",
    "arithmetic",
    "templates",
    "unknown",
    "passages",
    "events",
    "programs",
    "program_templates",
    "gym",
    "gym_heldout",
]
"""A set of questions that examples may have, besides the seen and the held-out ones."""
AskedSet = Literal["seen", "heldout", QuestionSet]
HOPS = (1, 2, 3)  # facts that a question may take, one after the other
INTERVAL = ("", "_error", "_low", "_high")


class ThinkingConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Which questions are answered with how much thinking."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "reward_model": ("best",),
        "temperature": ("votes", "best"),
        "seed": ("votes", "best"),
    }

    questions: AskedSet = Field(
        "hops", description="set of questions that are asked; those of question_sets need the same of the examples; name"
    )
    budgets: tuple[int, ...] = Field((0, 16, 64), min_length=1, description="most tokens of thinking, each tried by itself; tokens")
    votes: tuple[int, ...] = Field((), description="attempts whose majority decides, each number tried by itself; count")
    best: tuple[int, ...] = Field(
        (), description="attempts of which the reward model's favourite is taken, each number tried by itself; needs reward_model; count"
    )
    reward_model: str = Field("", description="step of kind reward whose model takes the best of several attempts; empty: none; name")
    emergence: tuple[AskedSet, ...] = Field(
        (),
        description="sets of questions whose thoughts, with the largest budget, are looked through: whether they correct themselves, and "
        "whether they are longer where a question takes more facts; names",
    )
    temperature: PositiveTemperature = Field(0.8, description="divides the logits that attempts are sampled from")
    answer_tokens: int = Field(24, ge=1, description="most tokens of an answer after thinking; tokens")
    seed: int = Field(0, ge=0, description="seed of the attempts; integer")

    @model_validator(mode="after")
    def _each_once(self) -> ThinkingConfig:
        for key in ("budgets", "votes", "best"):
            if sorted(set(getattr(self, key))) != list(getattr(self, key)):
                raise ValueError(f"{key}={list(getattr(self, key))} is not in rising order, each once; sort it")
        if self.budgets[0] < 0 or any(tried and tried[0] < 2 for tried in (self.votes, self.best)):
            raise ValueError("budgets count tokens from 0, votes and best attempts from 2; correct them")
        if self.best and not self.reward_model:
            raise ValueError(f"best={list(self.best)} needs a judge; name a step of kind reward in reward_model, or leave best out")
        if double := next((name for name in self.emergence if self.emergence.count(name) > 1), None):
            raise ValueError(f"emergence names {double} {self.emergence.count(double)} times; keep one")
        return self

    @property
    def sets(self) -> tuple[str, ...]:
        """Sets of questions that are asked."""
        return tuple(dict.fromkeys((self.questions, *self.emergence)))

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics. Those by number of facts and those of corrections appear only if a question or thought is of that kind."""
        budgets, votes = (f"budget_{budget}" for budget in self.budgets), (f"majority_{votes}" for votes in self.votes)
        tried = (*budgets, *votes, *(f"best_{count}" for count in self.best))
        spent = tuple(f"thinking.{name}{what}" for name in tried for what in ("", "_tokens"))
        if not self.emergence:
            return spent
        by_hops = (f"thinking.{what}_{hops}_hops" for hops in HOPS for what in ("tokens", "right"))
        single = (f"thinking.{name}{end}" for name in ("corrected", "restated", "longer_per_hop") for end in INTERVAL)
        return (*spent, *by_hops, *single, "thinking.corrected_right", "thinking.thoughts")
