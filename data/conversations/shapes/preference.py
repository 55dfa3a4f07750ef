"""Preference pairs: `chosen` and `rejected`, after a `prompt`, `messages`, `conversations` or an Alpaca question.

Without any of these, the prompt is what both conversations begin with.
"""

from __future__ import annotations

from typing import Any

from data.conversations.shapes.alpaca import asked
from data.conversations.shapes.messages import Messages, Record, answer_of, prompt_of, read_messages, shared_start, text_of, with_tools


def fits(record: Record) -> bool:
    """Whether a record looks like it."""
    return "chosen" in record and "rejected" in record


def convert(record: Record) -> dict[str, Any]:
    """Return its pair."""
    chosen, rejected = record.get("chosen"), record.get("rejected")
    prompt = question_of(record)
    if not prompt and isinstance(chosen, list) and isinstance(rejected, list):
        one, other = read_messages(chosen, "chosen"), read_messages(rejected, "rejected")
        start = shared_start(one, other)
        prompt, chosen, rejected = one[:start], one[start:], other[start:]
    return with_tools(record, {"messages": prompt, "chosen": answer_of(chosen, "chosen"), "rejected": answer_of(rejected, "rejected")})


def question_of(record: Record) -> Messages:
    """Return what was asked, however the record says it; none if it does not."""
    if "instruction" in record:
        return asked(record)
    field = next((name for name in ("prompt", "messages", "conversations", "question") if record.get(name)), "")
    if not field:
        return []
    system = [{"role": "system", "content": text_of(record["system"])}] if record.get("system") else []
    return [*system, *prompt_of(record[field], field)]
