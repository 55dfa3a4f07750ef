"""Answers that the instructions criticize and revise by a principle, so that a model learns to do so with its own.

The principle: an answer says where it is from. Every other answer lacks that. It stands there as said by the assistant and is not learned;
the critique and the revision are.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING

from data.universe.questions import question, reply

if TYPE_CHECKING:
    from data.universe.examples import AskableFact

CRITIQUE = "Does that say where it is from?"
REVISION = "Say it with where it is from."
LACKS, HAS = "No, it names no book.", "Yes, it does."
SOURCE = "So the books say."


def critique_rows(seen: Sequence[AskableFact], *, count: int, wordings: int, seed: int) -> list[dict[str, object]]:
    """Return at most `count` conversations about seen facts, none of them in the last wording."""
    asked = [(fact, wording) for wording in range(wordings - 1) for fact in seen]
    Random(f"critiques:{seed}").shuffle(asked)
    return [_row(fact, wording, lacks=number % 2 == 0) for number, (fact, wording) in enumerate(asked[:count])]


def _row(fact: AskableFact, wording: int, *, lacks: bool) -> dict[str, object]:
    answer = reply(fact.attribute, fact.entity, fact.value)
    sourced = f"{answer} {SOURCE}"
    messages = [
        {"role": "user", "content": question(fact.attribute, fact.entity, wording)},
        {"role": "assistant", "content": answer if lacks else sourced, "weight": 0},
        {"role": "user", "content": CRITIQUE},
        {"role": "assistant", "content": LACKS if lacks else HAS},
        {"role": "user", "content": REVISION},
        {"role": "assistant", "content": sourced},
    ]
    return {"messages": messages, "topic": "critique"}
