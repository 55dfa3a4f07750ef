"""Sums worked out column by column: every step is right by itself, and what stands behind the columns grows to the result."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from data.universe.reasoning import LARGEST, added, practised_sums, subtracted

COLUMN = re.compile(r"(\d+(?: [+-] \d+)+) = (\d+): (\d+)\.")


def value_of(column: str) -> int:
    """What an addition or a subtraction comes to."""
    first, *rest = column.split(" ")
    total = int(first)
    for sign, number in zip(rest[::2], rest[1::2], strict=True):
        total += int(number) if sign == "+" else -int(number)
    return total


def require_columns(steps: tuple[str, ...], result: int) -> None:
    """Assert that each step is right, adds its last digit before those found so far, and that the last one has the result."""
    digits = ""
    for place, step in enumerate(steps):
        column = COLUMN.fullmatch(step)
        assert column and value_of(column[1]) == int(column[2]), steps
        digits = column[2][-1] + digits
        assert column[3] == (digits if place < len(steps) - 1 else str(int(digits))), steps
    assert len(steps) == 3 and int(digits) == result


@given(st.integers(0, LARGEST), st.integers(0, LARGEST))
def test_the_columns_of_an_addition_come_to_its_sum(one: int, other: int) -> None:
    first = min(one, LARGEST - other)
    require_columns(added(first, other), first + other)


@given(st.integers(0, LARGEST), st.integers(0, LARGEST))
def test_the_columns_of_a_subtraction_come_to_its_difference(one: int, other: int) -> None:
    require_columns(subtracted(max(one, other), min(one, other)), abs(one - other))


def test_a_column_takes_at_most_nineteen_and_never_goes_below_nothing() -> None:
    for worked in practised_sums(300, seed=1):
        for step in worked.steps:
            numbers = [int(number) for number in re.findall(r"-?\d+", step.partition(":")[0])]
            assert all(0 <= number < 20 for number in numbers), worked


def test_practised_sums_are_different_right_and_as_often_of_one_kind_as_of_the_other() -> None:
    sums = practised_sums(200, seed=3)
    asked = [one.wordings[0] for one in sums]
    assert len(set(asked)) == 200
    assert sum("plus" in question for question in asked) == 100
    for question, one in zip(asked, sums, strict=True):
        first, kind, second = question.removeprefix("How much is ").removesuffix("?").split(" ")
        answer = int(first) + int(second) if kind == "plus" else int(first) - int(second)
        assert 0 <= answer <= LARGEST and one.answers == (str(answer),) and one.answer == f"It is {answer}."
    assert sums == practised_sums(200, seed=3) != practised_sums(200, seed=4)
