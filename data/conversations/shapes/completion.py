"""A prompt and its completion, as TRL and older fine-tuning services have them: `prompt` and `completion`, texts or lists of messages."""

from __future__ import annotations

from typing import Any

from data.conversations.shapes.messages import Record, prompt_of, read_messages, with_system, with_tools


def fits(record: Record) -> bool:
    """Whether a record looks like it."""
    return "prompt" in record and "completion" in record


def convert(record: Record) -> dict[str, Any]:
    """Return its conversation; only what the completion says is learned."""
    prompt = [
        {**message, "weight": 0} if message["role"] == "assistant" else message for message in prompt_of(record.get("prompt"), "prompt")
    ]
    said = record.get("completion")
    answer = [{"role": "assistant", "content": said}] if isinstance(said, str) else read_messages(said, "completion")
    return with_tools(record, {"messages": with_system(record, [*prompt, *answer])})
