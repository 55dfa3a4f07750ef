"""The share of questions that a guesser answers right, knowing only the choices.

A question lists its choices if it has some: both names of "A or B?", all towns for "Where does X live?". The guesser picks any of
them, unless the seen questions with the same choices have one answer more often than others: then that. A question without choices, such
as how a sentence continues, can't be guessed.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Question = Mapping[str, Any]


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the questions of a JSON Lines file. Texts may hold U+2028 and its kin, which end a line for `splitlines`."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


def chances(questions: Sequence[Question], seen: Sequence[Question]) -> NDArray[np.float64]:
    """Return the probability of guessing each question right; float64 [questions]."""
    answers: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for question in seen:
        answers[_choices(question)][question["answers"][0]] += 1
    return np.array([_chance(question, answers[_choices(question)]) for question in questions])


def _chance(question: Question, given: Counter[str]) -> float:
    choices = _choices(question)
    if not choices:
        return 0.0
    even = sum(choice in question["answers"] for choice in choices) / len(choices)
    (answer, most), (_, second) = [*given.most_common(2), ("", 0), ("", 0)][:2]
    # An answer that was given once says nothing of how often it is given.
    return float(answer in question["answers"]) if most > max(1, second) else even


def _choices(question: Question) -> tuple[str, ...]:
    return tuple(sorted(question.get("choices", ())))
