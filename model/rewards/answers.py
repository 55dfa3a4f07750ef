"""Questions with accepted answers: how they are read, and when a reply is right.

Only the first sentence of a reply counts: the first line that is not empty, up to the first full stop, question or exclamation mark that
whitespace follows (except the stop of a title such as "Mr." or of an initial). It is right if it contains an accepted answer as whole
words, regardless of case and of the amount of whitespace between words. So "Berlin" is not found in "Berliners", and a right answer after
a wrong first sentence is wrong. The rule cannot see a sentence that denies the answer, or that lists several.
What a model thinks before it answers, between `<think>` and `</think>`, is not judged, and thinking without an end leaves no answer.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

_MINUS, _SLASH, _NARROW = "-\u2010-\u2013\u2212\ufe63\uff0d", "/\u2044\u2215\u00f7", "'\u2019\u00a0\u2009\u202f"
_NUMBER = re.compile(
    rf"([{_MINUS}]?(?:\d+(?:[,{_NARROW}]\d{{3}}(?!\d))*(?:\.\d+)?|(?<!\d)\.\d+)(?:[eE][-+\u2212]?\d+)?)"
    rf"(?:\s?[{_SLASH}]\s?(\d+(?:\.\d+)?)(?![\d{_SLASH}])|(?:\^|\*\*)([-+\u2212]?\d+))?"
)
_TITLES = ("mr", "mrs", "ms", "dr", "st", "prof", "sr", "jr", "capt", "col", "gen", "lt", "rev", "hon")
_STOP = re.compile(r"[.!?]+[\"'\u201d\u2019)]*(?=\s)")
_ABBREVIATED = re.compile(r"(?:^|[^\w])(?:" + "|".join(_TITLES) + r"|[a-z])\.$", re.IGNORECASE)


THINKING = ("<think>", "</think>")  # as chat templates write it


class Trial(TypedDict):
    """Inputs of a function, and the value that it should give for them."""

    inputs: list[Any]
    output: Any


class Question(TypedDict):
    """A question with its accepted answers, the canonical one first; `choices`: what someone who guesses chooses from.

    `before`: what was said before it in the conversation. `hops`: the facts that it takes, one after the other. Of a question that asks
    for a program `function` names the function that is asked for, and `trials` are inputs that the question does not show. `entry`: of a
    question of reasoning-gym, what its scorer reads. `exact`: it is the beginning of a document, and the answer is how that goes on, token
    by token.
    """

    question: str
    answers: list[str]
    fact: str
    choices: NotRequired[list[str]]
    before: NotRequired[list[dict[str, str]]]
    hops: NotRequired[int]
    function: NotRequired[str]
    trials: NotRequired[list[Trial]]
    entry: NotRequired[dict[str, Any]]
    exact: NotRequired[bool]


def messages_of(question: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the messages that ask a question: what was said before it, and itself."""
    return [*question.get("before", ()), {"role": "user", "content": question["question"]}]


def is_right(reply: str, accepted: Iterable[str]) -> bool:
    """Return whether the reply's first sentence contains an accepted answer, as the module's docstring defines it."""
    return contains(first_sentence(answer_of(reply)), accepted)


def answer_of(reply: str) -> str:
    """Return what a reply says after thinking; the whole if it does not think, nothing if its thinking has no end."""
    if not reply.lstrip().startswith(THINKING[0]):
        return reply
    return reply.partition(THINKING[1])[2]


def contains(text: str, phrases: Iterable[str]) -> bool:
    """Return whether a text has one of the phrases that are not empty."""
    return any(has_phrase(text, phrase) for phrase in phrases if phrase.strip())


def has_phrase(text: str, phrase: str) -> bool:
    """Return whether a text has a phrase as whole words, regardless of case and of the amount of whitespace between words."""
    return bool(_phrase(phrase).search(text.casefold()))


def numbers(text: str) -> list[float]:
    """Return the numbers that a text has in digits, in order; a fraction, a power and 3e5 are one number each, not two."""
    return [_value(*found) for found in _NUMBER.findall(text)]


def _value(number: str, divisor: str, power: str) -> float:
    value = _plain(number)
    if power:
        try:
            return math.copysign(abs(value) ** _plain(power), value)  # -3^2 is -(3^2)
        except (OverflowError, ZeroDivisionError):
            return math.inf
    return value / float(divisor) if divisor and float(divisor) else value


def _plain(number: str) -> float:
    return float(re.sub(rf"[{_MINUS}]", "-", re.sub(rf"[,{_NARROW}]", "", number)))


def first_sentence(text: str) -> str:
    """Return the first sentence of a reply, or its first line if that ends earlier."""
    line = text.strip().partition("\n")[0]
    for stop in _STOP.finditer(line):
        if not _ABBREVIATED.search(line[: stop.end()]):
            return line[: stop.end()]
    return line


def read_questions(path: Path, *, choices: bool = False) -> list[Question]:
    """Read the questions of a JSON lines file, with their choices if asked; raise ValueError for a line that is none, or none at all."""
    found: list[Question] = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            question, answers = entry["question"], entry["answers"]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{path}, line {number} is not a question with answers ({error}): {line[:80]}") from error
        if not isinstance(question, str) or not isinstance(answers, list) or not any(map(str.strip, answers)):
            raise ValueError(f"{path}, line {number} has no accepted answer: {line[:80]}")
        found.append(Question(question=question, answers=answers, fact=str(entry.get("fact", ""))))
        if choices and isinstance(listed := entry.get("choices"), list):
            found[-1]["choices"] = [str(choice) for choice in listed]
        if "before" in entry:
            found[-1]["before"] = [{"role": str(said["role"]), "content": str(said["content"])} for said in entry["before"]]
        if "hops" in entry:
            found[-1]["hops"] = int(entry["hops"])
        if "trials" in entry:
            found[-1]["function"], found[-1]["trials"] = str(entry["function"]), list(entry["trials"])
        if "entry" in entry:
            found[-1]["entry"] = dict(entry["entry"])
        if entry.get("exact"):
            found[-1]["exact"] = True
    if not found:
        raise ValueError(f"{path} has no questions to ask")
    return found


def _phrase(answer: str) -> re.Pattern[str]:
    words = [re.escape(word) for word in answer.casefold().split()]
    # A number is not found in another one: 3 is not in -3, .3, 3.7, 1/3, 1 / 3, 3:15, 2^3, 3,000 or 3%.
    before = rf"(?<![{_MINUS}{_SLASH}.^])(?<!\d[,:{_NARROW}])(?<![{_SLASH}]\s)(?<!\*\*)" if answer.strip()[:1].isdigit() else ""
    after = rf"(?![.,:^{_MINUS}{_NARROW}]\d)(?!\s?[{_SLASH}]\s?\d)(?!\s?%)(?!\*\*)" if answer.strip()[-1:].isdigit() else ""
    return re.compile(rf"(?<!\w){before}" + r"\s+".join(words) + rf"(?!\w){after}")
