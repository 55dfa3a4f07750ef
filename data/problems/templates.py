"""Templates of small functions: what is asked, the program that does it, and what it gives.

`what` and `program` have the slots {a} and {b}, numbers that each problem draws. Functions are called f; `of` names what they are given:
x is a number, xs a list of numbers. Of the templates in `HELD_OUT` no problem is ever taught or rewarded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

FUNCTION = "f"
REQUESTS = ("Write a function f of {of} that {what}.", "I need a function f of {of} that {what}.")
ONE, TWO = range(2, 31), range(2, 13)  # the numbers that a template with one slot, or with two, draws from


class Template(NamedTuple):
    """See the module. `gives`: the right value, of the input and both numbers."""

    of: str
    what: str
    program: str
    gives: Callable[[Any, int, int], Any]

    @property
    def choices(self) -> list[tuple[int, int]]:
        """All pairs of numbers that it can ask about; the second is 0 where it has one slot."""
        return [(a, b) for a in TWO for b in TWO] if "{b}" in self.what else [(a, 0) for a in ONE]


TEMPLATES: dict[str, Template] = {
    "times_plus": Template("x", "multiplies x by {a} and adds {b}", "x * {a} + {b}", lambda x, a, b: x * a + b),
    "times_minus": Template("x", "multiplies x by {a} and takes {b} away", "x * {a} - {b}", lambda x, a, b: x * a - b),
    "plus_times": Template("x", "adds {a} to x and multiplies by {b}", "(x + {a}) * {b}", lambda x, a, b: (x + a) * b),
    "square_plus": Template("x", "squares x and adds {a}", "x * x + {a}", lambda x, a, _: x * x + a),
    "remainder": Template("x", "divides x by {a} and gives the remainder", "x % {a}", lambda x, a, _: x % a),
    "larger": Template("x", "gives the larger of x and {a}", "max(x, {a})", lambda x, a, _: max(x, a)),
    "each_plus": Template("xs", "adds {a} to each of xs", "[x + {a} for x in xs]", lambda xs, a, _: [x + a for x in xs]),
    "each_times": Template("xs", "multiplies each of xs by {a}", "[x * {a} for x in xs]", lambda xs, a, _: [x * a for x in xs]),
    "keep_above": Template("xs", "keeps those of xs above {a}", "[x for x in xs if x > {a}]", lambda xs, a, _: [x for x in xs if x > a]),
    "sum_above": Template(
        "xs", "adds up those of xs above {a}", "sum([x for x in xs if x > {a}])", lambda xs, a, _: sum(x for x in xs if x > a)
    ),
    "sum_plus": Template("xs", "adds up xs and adds {a}", "sum(xs) + {a}", lambda xs, a, _: sum(xs) + a),
    "minus_times": Template("x", "takes {a} away from x and multiplies by {b}", "(x - {a}) * {b}", lambda x, a, b: (x - a) * b),
    "each_minus": Template("xs", "takes {a} away from each of xs", "[x - {a} for x in xs]", lambda xs, a, _: [x - a for x in xs]),
    "sum_times": Template("xs", "adds up xs and multiplies by {a}", "sum(xs) * {a}", lambda xs, a, _: sum(xs) * a),
}  # fmt: skip
HELD_OUT = ("minus_times", "each_minus", "sum_times")


def written(template: Template, a: int, b: int) -> str:
    """Return the program that does what the template asks with these numbers."""
    return f"def {FUNCTION}({template.of}):\n    return {template.program.format(a=a, b=b)}"
