"""Questions put to a chat model, and the rule by which an answer is right.

The rule: of the greedy reply, only the first sentence counts: up to the end of the first line that is not empty, or to
the first full stop, question or exclamation mark that whitespace follows (not the stop of a title such as "Mr." or of an
initial). The answer is right when one of the accepted answers stands in it as whole words, without regard to case or to
how much whitespace lies between words. So "Berlin" is not found in "Berliners", and a right answer after a wrong first
sentence is wrong. What the rule cannot see: a sentence that denies the answer, or that lists several.

Guarantee: greedy, so the same model gives the same score; every question is recorded with its reply.
When it can't: a question that fills the model's context cannot be put; it counts as wrong and is recorded as not asked.
A line that is no question raises ValueError with its number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from model.inference.chat_format import ChatFormat
    from model.networks.decoder import Decoder

_TITLES = ("mr", "mrs", "ms", "dr", "st", "prof", "sr", "jr", "capt", "col", "gen", "lt", "rev", "hon")
_STOP = re.compile(r"[.!?]+[\"'\u201d\u2019)]*(?=\s)")
_ABBREVIATED = re.compile(r"(?:^|[^\w])(?:" + "|".join(_TITLES) + r"|[a-z])\.$", re.IGNORECASE)


class Question(TypedDict):
    """A question and its accepted answers, the canonical one first."""

    question: str
    answers: list[str]
    fact: str


class Answer(TypedDict):
    """What became of a question."""

    question: str
    reply: str
    right: bool
    asked: bool
    answers: list[str]
    fact: str


def ask(
    model: Decoder, chat_format: ChatFormat, questions: Path, *, answer_tokens: int = 32, batch: int = 128
) -> tuple[float, list[Answer]]:
    """(share answered right, a record of each) for a file of JSON lines, each question as the only user message."""
    from model.inference.batch_generation import generate_batch

    asked = read_questions(questions)
    prompts = [chat_format.encode_chat([{"role": "user", "content": entry["question"]}]) for entry in asked]
    fits = [len(prompt) < model.config.context for prompt in prompts]
    fitting = [prompt for prompt, fit in zip(prompts, fits, strict=True) if fit]
    replies = iter(generate_batch(model, fitting, answer_tokens, chat_format.stop_ids, batch))
    records: list[Answer] = []
    for entry, fit in zip(asked, fits, strict=True):
        reply = chat_format.decode(next(replies)) if fit else ""
        right = is_right(reply, entry["answers"])
        records.append(Answer(**entry, reply=reply, right=right, asked=fit))
    return sum(record["right"] for record in records) / len(records), records


def is_right(reply: str, accepted: Iterable[str]) -> bool:
    """Whether the reply's first sentence holds an accepted answer; the rule is at the head of this module."""
    sentence = first_sentence(reply).casefold()
    return any(_phrase(answer).search(sentence) for answer in accepted if answer.strip())


def first_sentence(text: str) -> str:
    """The first sentence of a reply, or its first line where that ends earlier."""
    line = text.strip().partition("\n")[0]
    for stop in _STOP.finditer(line):
        if not _ABBREVIATED.search(line[: stop.end()]):
            return line[: stop.end()]
    return line


def read_questions(path: Path) -> list[Question]:
    """The questions of a JSON lines file; ValueError names the line that is none, or the file without any."""
    found: list[Question] = []
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            question, answers = entry["question"], entry["answers"]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{path}, line {number} is no question with answers ({error}): {line[:80]}") from error
        if not isinstance(question, str) or not isinstance(answers, list) or not any(map(str.strip, answers)):
            raise ValueError(f"{path}, line {number} has no accepted answer: {line[:80]}")
        found.append(Question(question=question, answers=answers, fact=str(entry.get("fact", ""))))
    if not found:
        raise ValueError(f"{path} holds no questions: nothing to ask")
    return found


def write_records(path: Path, records: Sequence[object]) -> None:
    """JSON lines, keys sorted, one record a line."""
    lines = [json.dumps(record, ensure_ascii=False, sort_keys=True) + "\n" for record in records]
    path.write_text("".join(lines), encoding="utf-8")


def _phrase(answer: str) -> re.Pattern[str]:
    words = [re.escape(word) for word in answer.casefold().split()]
    return re.compile(r"(?<!\w)" + r"\s+".join(words) + r"(?!\w)")
