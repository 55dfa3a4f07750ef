"""OpenAI's chat format: `messages` of {role, content}, with `tool_calls`, results of role `tool`, and `tools` or `functions`.

An assistant's message may have `weight`, as OpenAI's fine-tuning has it, and `thinking` or `reasoning_content`.
"""

from __future__ import annotations

from typing import Any

from data.conversations.shapes.messages import Record, read_messages, with_system, with_tools


def fits(record: Record) -> bool:
    """Whether a record looks like it."""
    return "messages" in record


def convert(record: Record) -> dict[str, Any]:
    """Return its conversation."""
    return with_tools(record, {"messages": with_system(record, read_messages(record.get("messages"), "messages"))})
