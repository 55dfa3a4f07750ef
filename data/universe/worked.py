"""A question with the steps that lead to its answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Worked:
    """A question with its answers, the steps that lead there, and what someone who guesses chooses from."""

    template: str
    id: str
    wordings: tuple[str, ...]  # of the question; the first is the one that evaluation asks
    answers: tuple[str, ...]
    answer: str  # as a sentence
    steps: tuple[str, ...]
    choices: tuple[str, ...]
    hops: int = 0  # facts that it takes, one after the other; 0: it takes a calculation
