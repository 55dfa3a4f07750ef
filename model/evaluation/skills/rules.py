"""The rules that decide whether a reply is right. Each reads its own fields of the item's `check`, besides `rule`.

The cart language and its interpreter, which is bounded: any text that a model writes terminates quickly.

go TOWN         go there; a program begins at no town
load N          take N of the town's goods, if the cart has room for them
unload          leave everything here
repeat N        repeat the lines up to `end` N times
end
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from model.rewards.answers import has_phrase, is_right

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


Check = Mapping[str, Any]
_SENTENCE = re.compile(r"(?<=[.!?])\s+")


def contains(reply: str, check: Check) -> bool:
    """Whether the first sentence has one of the phrases of each part."""
    return all(is_right(reply, part) for part in check["parts"])


def word(reply: str, check: Check) -> bool:
    """Whether it is nothing but an accepted answer, with or without a full stop."""
    return reply.strip().removesuffix(".").casefold() in {answer.casefold() for answer in check["answers"]}


def json_object(reply: str, check: Check) -> bool:
    """Whether it is one JSON object of just these fields, each with an accepted value."""
    try:
        found = json.loads(reply)
    except (ValueError, RecursionError):
        return False
    fields: dict[str, list[object]] = check["fields"]
    if not isinstance(found, dict) or found.keys() != fields.keys():
        return False
    return all(any(found[name] == one for one in accepted) for name, accepted in fields.items())


def bullets(reply: str, check: Check) -> bool:
    """Whether it has one line for each entry, `- ` and an accepted value, in any order."""
    lines = reply.strip().splitlines()
    left = list(check["entries"])
    for line in lines:
        entry = next((entry for entry in left if line in [f"- {answer}" for answer in entry]), None)
        if entry is None:
            return False
        left.remove(entry)
    return not left


def reason(reply: str, check: Check) -> bool:
    """Whether it begins with `Because` and has a phrase of each part and none of the others."""
    named = [other for other in check["others"] if has_phrase(reply, other)]
    return reply.strip().startswith("Because") and not named and all(_any(reply, part) for part in check["parts"])


def sentences(reply: str, check: Check) -> bool:
    """Whether it has this many sentences, each with all words of a different statement."""
    written = [sentence for sentence in _SENTENCE.split(reply.strip()) if sentence]
    left = list(check["statements"])
    for sentence in written:
        stated = next((words for words in left if all(has_phrase(sentence, word) for word in words)), None)
        if stated is None:
            return False
        left.remove(stated)
    return bool(len(written) == check["count"])


def cart(reply: str, check: Check) -> bool:
    """Whether it is a valid program after which the town has the goods and the cart is empty."""
    world = Cart(check["makes"], check["holds"])
    try:
        world.run(reply)
    except CartError:
        return False
    return world.left.get(check["town"]) == {check["goods"]: check["count"]} and not world.load.total()


def declines(reply: str, check: Check) -> bool:
    """Whether it refuses if, and only if, that is wanted."""
    return bool(reply.strip()) and _any(reply, check["phrases"]) == bool(check["wanted"])


RULES: dict[str, Callable[[str, Check], bool]] = {
    "contains": contains,
    "word": word,
    "json": json_object,
    "list": bullets,
    "reason": reason,
    "sentences": sentences,
    "cart": cart,
    "declines": declines,
}


def is_done(reply: str, check: Check) -> bool:
    """Return whether a reply does what was asked. Raise ValueError for a rule that is none."""
    rule = RULES.get(str(check.get("rule")))
    if rule is None:
        raise ValueError(f"a test item has rule={check.get('rule')!r}; the rules are {', '.join(RULES)}")
    return rule(reply, check)


def _any(reply: str, phrases: Iterable[str]) -> bool:
    return any(has_phrase(reply, phrase) for phrase in phrases)
