"""ShareGPT: `conversations` of {from, value}, from human and gpt; with `system` and `tools`, used by function_call and observation."""

from __future__ import annotations

from typing import Any

from data.conversations.shapes.messages import Record, read_messages, with_system, with_tools


def fits(record: Record) -> bool:
    """Whether a record looks like it."""
    return "conversations" in record or "conversation" in record


def convert(record: Record) -> dict[str, Any]:
    """Return its conversation."""
    field = "conversations" if "conversations" in record else "conversation"
    return with_tools(record, {"messages": with_system(record, read_messages(record.get(field), field))})
