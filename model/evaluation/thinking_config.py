"""How much thinking is tried. Cheap to import: pydantic only."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, model_validator


class ThinkingConfig(BaseModel, frozen=True, extra="forbid"):
    """Which questions are answered with how much thinking."""

    questions: Literal["seen", "heldout", "reasoning", "hops", "arithmetic", "templates"] = Field(
        "hops", description="set of questions that are asked; those of question_sets need the same of the examples; name"
    )
    budgets: tuple[int, ...] = Field((0, 16, 64), min_length=1, description="most tokens of thinking, each tried by itself; tokens")
    votes: tuple[int, ...] = Field((), description="attempts whose majority decides, each number tried by itself; count")
    temperature: float = Field(0.8, gt=0, le=100, allow_inf_nan=False, description="divides the logits that attempts are sampled from")
    answer_tokens: int = Field(24, ge=1, description="most tokens of an answer after thinking; tokens")
    seed: int = Field(0, ge=0, description="seed of the attempts; integer")

    @model_validator(mode="after")
    def _each_once(self) -> ThinkingConfig:
        for key in ("budgets", "votes"):
            if sorted(set(getattr(self, key))) != list(getattr(self, key)):
                raise ValueError(f"{key}={list(getattr(self, key))} is not in rising order, each once; sort it")
        if self.budgets[0] < 0 or (self.votes and self.votes[0] < 2):
            raise ValueError("budgets count tokens from 0, votes attempts from 2; correct them")
        return self

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of what is measured."""
        tried = (*(f"budget_{budget}" for budget in self.budgets), *(f"majority_{votes}" for votes in self.votes))
        return tuple(f"thinking.{name}{what}" for name in tried for what in ("", "_tokens"))
