"""The cart language and its interpreter, which is bounded: any text that a model writes terminates quickly.

go TOWN         go there; a program begins at no town
load N          take N of the town's goods, if the cart has room for them
unload          leave everything here
repeat N        repeat the lines up to `end` N times
end
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

LINES, STEPS, DEPTH, MOST = 40, 400, 3, 99  # of a program; done; loops inside each other; the largest number


class CartError(ValueError):
    """A program that is none, or does what can't be done; the message names the line."""


class Cart:
    """A cart in a world of towns: `makes` is what each town makes, `holds` how many things the cart holds."""

    def __init__(self, makes: Mapping[str, str], holds: int) -> None:
        self.makes, self.holds = makes, holds
        self.town = ""
        self.load: Counter[str] = Counter()
        self.left: dict[str, Counter[str]] = {town: Counter() for town in makes}
        self._steps = 0

    def run(self, program: str) -> None:
        """Run a program. Raise CartError if it is invalid, too long, or takes too many steps."""
        lines = [line.split() for line in program.strip().splitlines() if line.strip()]
        if not 0 < len(lines) <= LINES:
            raise CartError(f"a program has 1 to {LINES} lines, this one {len(lines)}")
        self._run(lines, 0, len(lines), 0)

    def _run(self, lines: Sequence[list[str]], first: int, end: int, depth: int) -> None:
        at = first
        while at < end:
            self._steps += 1
            if self._steps > STEPS:
                raise CartError(f"line {at + 1}: more than {STEPS} steps")
            match lines[at]:
                case ["repeat", times]:
                    last = self._end_of(lines, at, end)
                    if depth == DEPTH:
                        raise CartError(f"line {at + 1}: more than {DEPTH} loops inside each other")
                    for _ in range(_number(times, at)):
                        self._run(lines, at + 1, last, depth + 1)
                    at = last
                case words:
                    self._do(words, at)
            at += 1

    def _do(self, words: list[str], at: int) -> None:
        match words:
            case ["go", town] if town in self.makes:
                self.town = town
            case ["load", count] if self.town:
                self.load[self.makes[self.town]] += _number(count, at)
                if self.load.total() > self.holds:
                    raise CartError(f"line {at + 1}: the cart holds {self.holds}, not {self.load.total()}")
            case ["unload"] if self.town:
                self.left[self.town] += self.load
                self.load.clear()
            case _:
                raise CartError(f"line {at + 1}: {' '.join(words)!r} can't be done")

    @staticmethod
    def _end_of(lines: Sequence[list[str]], start: int, end: int) -> int:
        """Return the line of the `end` of the loop that begins at `start`."""
        open_loops = 0
        for at in range(start, end):
            word = lines[at][0]
            open_loops += (word == "repeat") - (word == "end")
            if open_loops == 0:
                return at
        raise CartError(f"line {start + 1}: repeat without end")


def _number(word: str, at: int) -> int:
    if not (word.isascii() and word.isdigit()) or not 0 < int(word[:4]) <= MOST:
        raise CartError(f"line {at + 1}: {word!r} is not a number from 1 to {MOST}")
    return int(word[:4])
