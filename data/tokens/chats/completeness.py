"""What a chat template leaves out of a conversation: the parts without which it would write the same text.

Thoughts before an earlier question don't count: templates drop them on purpose.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Messages = list[dict[str, Any]]
Render = Callable[[Messages, list[dict[str, Any]]], str]
"""Renders messages and the descriptions of tools; raises jinja2.TemplateError where the template refuses them."""
_WITHOUT: dict[str, dict[str, Any]] = {
    "content": {"content": ""},
    "tool_calls": {"tool_calls": []},
    "thinking": {"thinking": "", "reasoning_content": ""},
}


def left_out(render: Render, text: str, messages: Messages, tools: list[dict[str, Any]]) -> str:
    """Return the first part of a conversation that its `text` does not depend on, in words; "" if there is none."""
    if tools and _is_same(render, text, messages, []):
        return "the descriptions of tools"
    asked = max((number for number, message in enumerate(messages) if message["role"] == "user"), default=-1)
    for number, message in enumerate(messages):
        for field, without in _WITHOUT.items():
            told = message.get(field)
            if not told or (field == "content" and told.strip() in text) or (field == "thinking" and number < asked):
                continue
            if _is_same(render, text, [*messages[:number], {**message, **without}, *messages[number + 1 :]], tools):
                return f"the {field.replace('_', ' ')} of message {number + 1}, the {message['role']}'s"
    return ""


def _is_same(render: Render, text: str, messages: Messages, tools: list[dict[str, Any]]) -> bool:
    from jinja2 import TemplateError

    try:
        return render(messages, tools) == text
    except TemplateError:
        return False
