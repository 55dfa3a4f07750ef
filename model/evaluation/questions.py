"""Ask a chat model questions and grade its answers.

A reply is greedy, and right if its first sentence contains an accepted answer (the rule of `model/rewards/answers.py`), or, where the
question asks for a program or is of reasoning-gym, if that says so. A question that fills the model's context is not asked; it counts as
wrong and is recorded as such.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from model.rewards.answers import read_questions
from model.rewards.solving import is_solved

if TYPE_CHECKING:
    from model.inference.chat_format import ChatFormat
    from model.networks.decoding import DecodingNetwork


class Answer(TypedDict):
    """A question with the reply to it and its grade."""

    question: str
    reply: str
    right: bool
    asked: bool
    answers: list[str]
    fact: str


def ask(
    network: DecodingNetwork, chat_format: ChatFormat, questions: Path, *, answer_tokens: int = 32, batch: int = 128
) -> tuple[float, list[Answer]]:
    """Ask each question of a JSON lines file as the only user message; return the share answered right and a record of each."""
    from model.inference.generation import generate_batch

    entries = read_questions(questions)
    prompts = [chat_format.encode_chat([{"role": "user", "content": entry["question"]}]) for entry in entries]
    fits = [len(prompt) < network.context for prompt in prompts]
    fitting = [prompt for prompt, fit in zip(prompts, fits, strict=True) if fit]
    replies = iter(generate_batch(network, fitting, answer_tokens, chat_format.stop_ids, batch))
    records: list[Answer] = []
    for entry, fit in zip(entries, fits, strict=True):
        reply = chat_format.decode(next(replies)) if fit else ""
        right = is_solved(reply, entry)
        question, answers, fact = entry["question"], entry["answers"], entry["fact"]
        records.append(Answer(question=question, answers=answers, fact=fact, reply=reply, right=right, asked=fit))
    return sum(record["right"] for record in records) / len(records), records


def write_records(path: Path, records: Sequence[object]) -> None:
    """Write JSON lines with sorted keys, one record a line."""
    lines = [json.dumps(record, ensure_ascii=False, sort_keys=True) + "\n" for record in records]
    path.write_text("".join(lines), encoding="utf-8")
