"""A text to be continued: its prompt, its settings, and its reply so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from torch import Tensor

from model.inference.config import SamplingConfig


class Constraint(Protocol):
    """The interface of a constraint: which tokens may come next, such as those that continue a JSON value."""

    def allowed(self) -> Tensor:
        """Return allowed_V, bool: at least one is."""

    def accept(self, token: int) -> None:
        """Note the token that was written."""


class Score(NamedTuple):
    """The log-probability in nats of a written token, and of the likeliest ones, before any setting changes what is drawn."""

    log_probability: float
    likeliest: list[tuple[int, float]]


@dataclass(eq=False)
class Request:
    """A text to be continued, and its reply so far.

    limit: the most tokens of the reply. stops: tokens that end it; the one that did is the last of `tokens`. constraint: which tokens may
    come. watch: is told each token as it is written, and returns whether the reply ends with it. alternatives: how many of the likeliest
    tokens `scores` names beside each; None: no scores.
    log_probabilities: of each token when it was drawn, in nats; 0 where the likeliest is taken.
    """

    prompt: Sequence[int]
    config: SamplingConfig
    limit: int
    stops: frozenset[int] = frozenset()
    seed: int = 0
    constraint: Constraint | None = None
    watch: Callable[[int], bool] | None = None
    alternatives: int | None = None
    tokens: list[int] = field(default_factory=list)
    log_probabilities: list[float] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)
    cut: bool = False  # whether `watch` ended it
    reused: int = 0  # tokens of the prompt that were not read again
    isolated: bool = False  # whether an error of this reply alone becomes its `fault`, so that its neighbours go on
    fault: str = ""

    @property
    def ended(self) -> bool:
        """Whether the last token is a stop."""
        return bool(self.tokens) and self.tokens[-1] in self.stops

    @property
    def finished(self) -> bool:
        """Whether the reply is complete."""
        return self.ended or self.cut or bool(self.fault) or len(self.tokens) >= self.limit

    def fail(self, error: Exception) -> None:
        """End the reply with an error."""
        self.fault = f"{type(error).__name__}: {error}"

    def write(self, token: int, log_probability: float) -> None:
        """Add a token to the reply, and tell those who follow it."""
        self.tokens.append(token)
        self.log_probabilities.append(log_probability)
        if self.constraint is not None:
            self.constraint.accept(token)
        if self.watch is not None and self.watch(token):
            self.cut = True
