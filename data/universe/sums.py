"""Sums worked out column by column from the right, as on paper, with what is found so far behind each column.

A column whose upper digit is too small borrows ten from the next ("12 - 4 = 8: 8."), one that comes to ten or more carries one on
("4 + 3 + 1 = 8: 81."). Numbers have at most three digits; behind the last column stands the result.
"""

from __future__ import annotations

from random import Random

from data.universe.worked import Worked

LARGEST = 999
COLUMNS = (1, 10, 100)


def added(one: int, other: int) -> tuple[str, ...]:
    """Return the steps of one + other, which come to at most LARGEST."""
    steps, carry = [], 0
    for column in COLUMNS:
        upper, lower = one // column % 10, other // column % 10
        total = upper + lower + carry
        steps.append(f"{upper} + {lower}{' + 1' if carry else ''} = {total}: {_so_far(one + other, column)}.")
        carry = total // 10
    return tuple(steps)


def subtracted(one: int, other: int) -> tuple[str, ...]:
    """Return the steps of one - other, which must not be the larger."""
    steps, borrowed = [], 0
    for column in COLUMNS:
        upper, lower = one // column % 10 - borrowed, other // column % 10
        borrowed = int(upper < lower)
        upper += 10 * borrowed
        steps.append(f"{upper} - {lower} = {upper - lower}: {_so_far(one - other, column)}.")
    return tuple(steps)


def _so_far(result: int, column: int) -> str:
    """Return the digits of a result up to a column; behind the last one the result itself."""
    return str(result) if column == COLUMNS[-1] else str(result % (10 * column)).zfill(len(str(column)))


def practised_sums(count: int, seed: int) -> list[Worked]:
    """Return `count` sums of numbers below a thousand, as many additions as subtractions, each once."""
    rng = Random(f"sums:{seed}")
    found: dict[str, Worked] = {}
    while len(found) < count:
        first = rng.randint(1, LARGEST)
        second = rng.randint(1, first)
        plus = len(found) % 2 == 0
        if plus:
            first, steps = first - second, added(first - second, second)
        else:
            steps = subtracted(first, second)
        answer = str(first + second if plus else first - second)
        asked = f"How much is {first} {'plus' if plus else 'minus'} {second}?"
        found[asked] = Worked("sum", f"sum:{asked}", (asked,), (answer,), f"It is {answer}.", steps, ())
    return list(found.values())
