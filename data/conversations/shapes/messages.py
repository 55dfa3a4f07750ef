"""What shapes share: messages as different tools write them, and answers that are a text or a single message."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]
Messages = list[dict[str, Any]]
ROLES = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "chatgpt": "assistant", "bing": "assistant", "model": "assistant", "bot": "assistant",
    "function_call": "assistant",
    "tool": "tool", "function": "tool", "observation": "tool", "ipython": "tool", "function_response": "tool",
}  # fmt: skip
SAID = ("content", "value", "refusal")
THINKING = ("thinking", "reasoning_content", "reasoning")


class ShapeError(ValueError):
    """A record does not match its shape; the message becomes the quarantine reason."""


def read_messages(value: object, field: str) -> Messages:
    """Return the messages of a list, whether they are written as {role, content} or as {from, value}."""
    given = parsed(value, field)
    if not isinstance(given, list) or not all(isinstance(message, dict) for message in given):
        raise ShapeError(f"{field} is not a list of messages")
    return [_message(message) for message in given]


def _message(given: Record) -> dict[str, Any]:
    named = given.get("role") or given.get("from")
    role = ROLES.get(str(named).lower())
    if role is None:
        raise ShapeError(f"a message's role is {named!r}, which is none of {', '.join(ROLES)}")
    said = next((given[name] for name in SAID if given.get(name) not in (None, "")), "")
    message: dict[str, Any] = {"role": role, "content": text_of(said)}
    if role != "assistant":
        return message
    if str(named).lower() == "function_call":
        message |= {"content": "", "tool_calls": [_call(parsed(said, "function_call"))]}
    if thinking := next((given[name] for name in THINKING if given.get(name)), None):
        message["thinking"] = text_of(thinking)
    if calls := given.get("tool_calls"):
        message["tool_calls"] = [_call(call) for call in calls] if isinstance(calls, list) else calls
    if call := given.get("function_call"):
        message["tool_calls"] = [_call(call)]
    learned = given.get("weight") if given.get("weight") is not None else given.get("train")
    return message if learned is None else {**message, "weight": int(learned) if isinstance(learned, bool | int | float) else learned}


def _call(given: object) -> dict[str, Any]:
    """Return a tool call in OpenAI's form; its arguments may be written as JSON text."""
    function = (given.get("function") or given) if isinstance(given, dict) else {}
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise ShapeError("a tool call names no function")
    arguments = function.get("arguments", function.get("parameters"))
    return {"type": "function", "function": {"name": function["name"], "arguments": parsed(arguments or {}, "arguments of a tool call")}}


def text_of(value: object) -> str:
    """Return a content's text; of a list of parts the texts, one after the other. A content that is null is empty."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(part, dict) for part in value):
        if strange := next((part.get("type") for part in value if part.get("type") != "text" or not isinstance(part.get("text"), str)), ""):
            raise ShapeError(f"a message's content has a part of type {strange!r}, and only text can be learned")
        return "".join(part["text"] for part in value)
    raise ShapeError("a message's content is not text")


def with_system(given: Record, messages: Messages) -> Messages:
    """Put a record's `system` field first, unless the messages begin with one of their own."""
    if not given.get("system") or (messages and messages[0]["role"] == "system"):
        return messages
    return [{"role": "system", "content": text_of(given["system"])}, *messages]


def with_tools(given: Record, found: dict[str, Any]) -> dict[str, Any]:
    """Add the record's tools, which may be written as JSON text; `functions` is their older name."""
    tools = parsed(given.get("tools") or given.get("functions") or [], "tools")
    return {**found, "tools": tools} if tools else found


def parsed(value: object, field: str) -> Any:
    """Return a value, parsed if it is given as JSON text, as in columns of a table."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ShapeError(f"{field} is text that isn't JSON: {error}") from error


def prompt_of(value: object, field: str) -> Messages:
    """Return a prompt's messages: a text is what the user says."""
    return [{"role": "user", "content": value}] if isinstance(value, str) else read_messages(value, field)


def answer_of(value: object, field: str) -> str:
    """Return an answer that is a text, a message or a list of one message."""
    if isinstance(value, str):
        return value
    (only, *more) = read_messages(value if isinstance(value, list) else [value], field) or [{}]
    if more or only.keys() != {"role", "content"} or only["role"] != "assistant":
        raise ShapeError(f"{field} is not a single text answer: pairs and labels take no tool calls, thinking or several messages")
    return str(only["content"])


def shared_start(first: Sequence[object], second: Sequence[object]) -> int:
    """Return how many messages two conversations begin with alike."""
    return next((at for at, (one, other) in enumerate(zip(first, second, strict=False)) if one != other), min(len(first), len(second)))
