"""Preference pairs: `chosen` and `rejected`, after a `prompt`, `messages`, `conversations` or an Alpaca question.

Both may be whole conversations, which begin with the prompt; without one, it is what they begin with alike.
"""

from __future__ import annotations

from typing import Any

from data.conversations.shapes.alpaca import asked
from data.conversations.shapes.messages import Messages, Record, answer_of, prompt_of, read_messages, shared_start, with_system, with_tools


def fits(record: Record) -> bool:
    """Whether a record looks like it."""
    return "chosen" in record and "rejected" in record


def convert(record: Record) -> dict[str, Any]:
    """Return its pair."""
    chosen, rejected = record.get("chosen"), record.get("rejected")
    prompt = question_of(record)
    if isinstance(chosen, list) and isinstance(rejected, list):
        one, other = read_messages(chosen, "chosen"), read_messages(rejected, "rejected")
        start = shared_start(one, other)
        if not prompt:
            prompt = with_system(record, one[:start])
        elif not _repeats(one[:start], prompt):
            start = 0
        chosen, rejected = one[start:], other[start:]
    return with_tools(record, {"messages": prompt, "chosen": answer_of(chosen, "chosen"), "rejected": answer_of(rejected, "rejected")})


def question_of(record: Record) -> Messages:
    """Return what was asked, however the record says it; none if it does not."""
    if "instruction" in record:
        return asked(record)
    field = next((name for name in ("prompt", "messages", "conversations", "question") if record.get(name)), "")
    if not field:
        return []
    return with_system(record, prompt_of(record[field], field))


def _repeats(start: Messages, prompt: Messages) -> bool:
    """Return whether a conversation's start is the prompt, with or without what the system says."""
    return start in (prompt, prompt[1:] if prompt[0]["role"] == "system" else prompt)
