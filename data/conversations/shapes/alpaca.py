"""Stanford Alpaca: `instruction`, `input` and `output`; also with `system` and with `history`, earlier [question, answer] pairs.

The user says the instruction and, below a blank line, the input if there is one.
"""

from __future__ import annotations

from typing import Any

from data.conversations.shapes.messages import Messages, Record, ShapeError, parsed, text_of, with_system


def fits(record: Record) -> bool:
    """Whether a record looks like it."""
    return "instruction" in record and "output" in record


def convert(record: Record) -> dict[str, Any]:
    """Return its conversation."""
    return {"messages": [*asked(record), {"role": "assistant", "content": text_of(record.get("output"))}]}


def asked(record: Record) -> Messages:
    """Return its messages up to the question."""
    messages: Messages = []
    history = parsed(record.get("history") or [], "history")
    if not isinstance(history, list) or not all(isinstance(turn, list) and len(turn) == 2 for turn in history):
        raise ShapeError("history is not a list of [question, answer] pairs")
    for question, answer in history:
        messages += [{"role": "user", "content": text_of(question)}, {"role": "assistant", "content": text_of(answer)}]
    parts = [text_of(record.get("instruction")), text_of(record.get("input"))]
    return with_system(record, [*messages, {"role": "user", "content": "\n\n".join(part for part in parts if part)}])
