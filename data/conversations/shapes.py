"""The public shapes of records that hold conversations, in the order in which a record is tried: the more a shape asks for, the earlier."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

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


def fits(record: Record) -> bool:
    """Whether a record looks like it."""
    return "messages" in record


def convert(record: Record) -> dict[str, Any]:
    """Return its conversation."""
    return with_tools(record, {"messages": with_system(record, read_messages(record.get("messages"), "messages"))})


def fits_sharegpt(record: Record) -> bool:
    """Whether a record looks like it."""
    return "conversations" in record or "conversation" in record


def convert_sharegpt(record: Record) -> dict[str, Any]:
    """Return its conversation."""
    field = "conversations" if "conversations" in record else "conversation"
    return with_tools(record, {"messages": with_system(record, read_messages(record.get(field), field))})


def fits_alpaca(record: Record) -> bool:
    """Whether a record looks like it."""
    return "instruction" in record and "output" in record


def convert_alpaca(record: Record) -> dict[str, Any]:
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


def fits_completion(record: Record) -> bool:
    """Whether a record looks like it."""
    return "prompt" in record and "completion" in record


def convert_completion(record: Record) -> dict[str, Any]:
    """Return its conversation; only what the completion says is learned."""
    prompt = [
        {**message, "weight": 0} if message["role"] == "assistant" else message for message in prompt_of(record.get("prompt"), "prompt")
    ]
    said = record.get("completion")
    answer = [{"role": "assistant", "content": said}] if isinstance(said, str) else read_messages(said, "completion")
    return with_tools(record, {"messages": with_system(record, [*prompt, *answer])})


def fits_preference(record: Record) -> bool:
    """Whether a record looks like it."""
    return "chosen" in record and "rejected" in record


def convert_preference(record: Record) -> dict[str, Any]:
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


def fits_labelled(record: Record) -> bool:
    """Whether a record looks like it."""
    return "kto_tag" in record or ("label" in record and bool(record.keys() & {"completion", "messages", "conversations"}))


def convert_labelled(record: Record) -> dict[str, Any]:
    """Return its labelled answer; 1 and 0, as tables have them, are true and false."""
    label = record["kto_tag"] if "kto_tag" in record else record.get("label")
    prompt, answer = question_of(record), record.get("completion")
    if answer is None and prompt:
        answer = prompt.pop()
    label = bool(label) if label in (0, 1) else {"true": True, "false": False}.get(str(label).lower(), label)
    return with_tools(record, {"messages": prompt, "completion": answer_of(answer, "completion"), "label": label})


Shape = Literal["auto", "preference", "labelled", "completion", "openai", "sharegpt", "alpaca"]


class KnownShape(NamedTuple):
    """Whether a record looks like a shape, and what one that does holds."""

    fits: Callable[[Record], bool]
    convert: Callable[[Record], dict[str, Any]]


SHAPES = {
    "preference": KnownShape(fits_preference, convert_preference),
    "labelled": KnownShape(fits_labelled, convert_labelled),
    "completion": KnownShape(fits_completion, convert_completion),
    "openai": KnownShape(fits, convert),
    "sharegpt": KnownShape(fits_sharegpt, convert_sharegpt),
    "alpaca": KnownShape(fits_alpaca, convert_alpaca),
}
