"""ShareGPT: `conversations` of {from, value}, from human and gpt; with `system` and `tools`, used by function_call and observation."""

from __future__ import annotations

from typing import Any

from data.conversations.shapes.messages import Record, read_messages, text_of, with_tools


def fits(record: Record) -> bool:
    """Whether a record looks like it."""
    return "conversations" in record or "conversation" in record


def convert(record: Record) -> dict[str, Any]:
    """Return its conversation; a `system` field comes first."""
    field = "conversations" if "conversations" in record else "conversation"
    messages = read_messages(record.get(field), field)
    system = [{"role": "system", "content": text_of(record["system"])}] if record.get("system") else []
    return with_tools(record, {"messages": [*system, *messages]})
