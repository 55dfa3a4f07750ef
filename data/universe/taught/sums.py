"""Sums that the instructions work out, so that a question about years needs no calculation that was never practised."""

from __future__ import annotations

from collections.abc import Collection
from random import Random

EARLIEST, LATEST, LONGEST = 100, 400, 99  # as the years of the world, and the gaps between them
QUESTION = "What is {}?"


def sum_of(early: int, late: int) -> tuple[str, str]:
    """Return the sentences that subtract one year from another, and that add the gap to the earlier one."""
    gap = late - early
    return f"{late} - {early} = {gap}.", f"{early} + {gap} = {late}."


def practised_sums(seed: int, count: int, held_out: Collection[str]) -> list[tuple[str, str]]:
    """Return `count` questions with their answers, no two alike, and none that is in `held_out` (sentences of `sum_of`).

    Raise ValueError if there are not so many.
    """
    years = range(EARLIEST, LATEST)
    sums = sorted({said for early in years for late in range(early + 1, min(LATEST, early + LONGEST + 1)) for said in sum_of(early, late)})
    left = [said for said in sums if said not in held_out]
    if count > len(left):
        raise ValueError(f"sums={count} is more than the {len(left)} sums that can be made; lower it")
    return [(QUESTION.format(said.partition(" = ")[0]), said) for said in Random(f"sums:{seed}").sample(left, count)]
