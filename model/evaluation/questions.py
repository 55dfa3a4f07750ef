"""Ask a chat model questions and grade its answers.

Only the first sentence of the greedy reply counts: the first line that is not empty, up to the first full stop, question or exclamation
mark that whitespace follows (except the stop of a title such as "Mr." or of an initial). It is right if it contains an accepted answer as
whole words, regardless of case and of the amount of whitespace between words. So "Berlin" is not found in "Berliners", and a right answer
after a wrong first sentence is wrong. The rule cannot see a sentence that denies the answer, or that lists several.

A question that fills the model's context is not asked; it counts as wrong and is recorded as such.
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
    """A question with its accepted answers, the canonical one first."""

    question: str
    answers: list[str]
    fact: str


class Answer(TypedDict):
    """A question with the reply to it and its grade."""

    question: str
    reply: str
    right: bool
    asked: bool
    answers: list[str]
    fact: str


def ask(
    model: Decoder, chat_format: ChatFormat, questions: Path, *, answer_tokens: int = 32, batch: int = 128
) -> tuple[float, list[Answer]]:
    """Ask each question of a JSON lines file as the only user message; return the share answered right and a record of each."""
    from model.inference.batch_generation import generate_batch

    entries = read_questions(questions)
    prompts = [chat_format.encode_chat([{"role": "user", "content": entry["question"]}]) for entry in entries]
    fits = [len(prompt) < model.config.context for prompt in prompts]
    fitting = [prompt for prompt, fit in zip(prompts, fits, strict=True) if fit]
    replies = iter(generate_batch(model, fitting, answer_tokens, chat_format.stop_ids, batch))
    records: list[Answer] = []
    for entry, fit in zip(entries, fits, strict=True):
        reply = chat_format.decode(next(replies)) if fit else ""
        right = is_right(reply, entry["answers"])
        records.append(Answer(**entry, reply=reply, right=right, asked=fit))
    return sum(record["right"] for record in records) / len(records), records


def is_right(reply: str, accepted: Iterable[str]) -> bool:
    """Return whether the reply's first sentence contains an accepted answer, as the module's docstring defines it."""
    sentence = first_sentence(reply).casefold()
    return any(_phrase(answer).search(sentence) for answer in accepted if answer.strip())


def first_sentence(text: str) -> str:
    """Return the first sentence of a reply, or its first line if that ends earlier."""
    line = text.strip().partition("\n")[0]
    for stop in _STOP.finditer(line):
        if not _ABBREVIATED.search(line[: stop.end()]):
            return line[: stop.end()]
    return line


def read_questions(path: Path) -> list[Question]:
    """Read the questions of a JSON lines file; raise ValueError for a line that is not one, or a file without any."""
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
    if not found:
        raise ValueError(f"{path} has no questions to ask")
    return found


def write_records(path: Path, records: Sequence[object]) -> None:
    """Write JSON lines with sorted keys, one record a line."""
    lines = [json.dumps(record, ensure_ascii=False, sort_keys=True) + "\n" for record in records]
    path.write_text("".join(lines), encoding="utf-8")


def _phrase(answer: str) -> re.Pattern[str]:
    words = [re.escape(word) for word in answer.casefold().split()]
    return re.compile(r"(?<!\w)" + r"\s+".join(words) + r"(?!\w)")
