r"""Reads a record of any shape into a conversation, a preference pair or a labelled answer, and renders it as text.

Corpus stages compare, search and show this text. It has every word of the conversation, each message below its
role.

Files of conversations and of questions: JSON lines in UTF-8.

A line ends at "\n" alone: texts may hold what Unicode calls the end of a line. Functions that write return the number of lines.

Define conversations, preference pairs and labelled answers as JSON objects, and say why an object isn't valid.

A message has a `role` (system, user, assistant or tool) and a `content`. The assistant's may also have `thinking` (what it wrote before the
answer), `tool_calls` (a list of {"type": "function", "function": {"name", "arguments"}}) and `weight` (0: a turn that is not learned).

| object | fields |
|---|---|
| conversation | `messages`, of which the last is the assistant's; `tools`: JSON Schemas of what it may call |
| preference pair | `messages`, of which the last is not the assistant's; two different answers, `chosen` and `rejected`; `tools` |
| labelled answer | the same with one answer, `completion`, and its `label`: true where it is desirable |

Objects of any kind may have further fields, such as `topic` and `books` (the documents whose words they hold).

Joins single exchanges into conversations of several, so that a model is used to what was said before.

Exchanges keep their order, and each stays in one conversation alone. One that is thought out ends its conversation, since chat shows a
model no earlier thoughts. What has more than one exchange already, or is long, is left as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Annotated, Any, Literal

from pydantic import Field

from data.conversations.shapes import SHAPES, Shape, ShapeError

Row = Mapping[str, Any]


def read_rows(path: Path) -> list[Row]:
    """Return the objects of a file."""
    return [json.loads(line) for line in _lines(path)]


def write_rows(path: Path, rows: Iterable[Row]) -> float:
    """Write a file with an object on each line."""
    return _write(path, list(map(_line, rows)))


def mix_rows_in(path: Path, rows: Iterable[Row], seed: str) -> float:
    """Add objects to a file and shuffle its lines by the seed."""
    lines = [*_lines(path), *map(_line, rows)]
    Random(seed).shuffle(lines)
    return _write(path, lines)


def _line(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False)


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def _write(path: Path, lines: list[str]) -> float:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
    return float(len(lines))


ROLES = ("system", "user", "assistant", "tool")


def conversation_fault(value: Mapping[str, Any]) -> str | None:
    """Return why this is not a conversation to learn from, or None."""
    fault = _messages_fault(value)
    if fault is None and value["messages"][-1]["role"] != "assistant":
        return "the last message is not the assistant's"
    if fault is None and not any(message.get("weight", 1) for message in value["messages"] if message["role"] == "assistant"):
        return "every message of the assistant has weight 0, so there is nothing to learn"
    if fault is None and any(_is_empty(message) for message in value["messages"]):
        return "an answer is empty, so a model would learn to say nothing"
    return fault


def preference_fault(value: Mapping[str, Any]) -> str | None:
    """Return why this is not a preference pair, or None."""
    fault = _prompt_fault(value)
    chosen, rejected = value.get("chosen"), value.get("rejected")
    if fault is None and not (_is_text(chosen) and _is_text(rejected)):
        fault = "chosen or rejected is not text"
    if fault is None and not str(chosen).strip():
        fault = "chosen is empty, so a model would learn to say nothing"
    return "chosen and rejected are the same" if fault is None and chosen == rejected else fault


def label_fault(value: Mapping[str, Any]) -> str | None:
    """Return why this is not a labelled answer, or None."""
    fault = _prompt_fault(value)
    if fault is None and not _is_text(value.get("completion")):
        fault = "completion is not text"
    if fault is None and value.get("label") is True and not value["completion"].strip():
        fault = "completion is empty, so a model would learn to say nothing"
    return "label is neither true nor false" if fault is None and not isinstance(value.get("label"), bool) else fault


def _prompt_fault(value: Mapping[str, Any]) -> str | None:
    fault = _messages_fault(value)
    return "the last message is not the user's" if fault is None and value["messages"][-1]["role"] not in ("user", "tool") else fault


def _messages_fault(value: Mapping[str, Any]) -> str | None:
    messages, tools = value.get("messages"), value.get("tools", [])
    if not isinstance(messages, list) or not messages:
        return "messages is not a list of messages"
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        return "tools is not a list of JSON objects"
    if not _is_json_text(tools):
        return "a tool's description holds half a surrogate pair"
    return next((fault for message in messages if (fault := _message_fault(message))), None)


def _message_fault(message: object) -> str:
    if not isinstance(message, dict) or message.get("role") not in ROLES:
        return f"a message has no role of {sorted(ROLES)}"
    if not _is_text(message.get("content")):
        return "a message's content is not text"
    own = sorted(message.keys() & {"thinking", "tool_calls", "weight"})
    if own and message["role"] != "assistant":
        return f"a message of the {message['role']} has {own[0]}, which only the assistant's have"
    if not _is_text(message.get("thinking", "")):
        return "a message's thinking is not text"
    if message.get("weight", 1) not in (0, 1):
        return f"a message has weight {message['weight']!r}, which is neither 0 nor 1"
    calls = message.get("tool_calls", [])
    return "" if isinstance(calls, list) and all(map(_is_call, calls)) else "tool_calls is not a list of calls with a name and arguments"


def _is_empty(message: Mapping[str, Any]) -> bool:
    """Whether a message of the assistant that is learned has nothing in it."""
    learned = message["role"] == "assistant" and message.get("weight", 1)
    return bool(learned) and not (message["content"].strip() or message.get("thinking", "").strip() or message.get("tool_calls"))


def _is_call(value: object) -> bool:
    function = value.get("function") if isinstance(value, dict) else None
    named = isinstance(function, dict) and isinstance(function.get("name"), str) and isinstance(function.get("arguments"), dict)
    return named and _is_json_text(function)


def _is_text(value: object) -> bool:
    """Whether a value is a string that UTF-8 can encode: JSON may contain half a surrogate pair."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_json_text(value: object) -> bool:
    """Whether every string in a value is text."""
    if isinstance(value, dict):
        return all(_is_text(name) and _is_json_text(inner) for name, inner in value.items())
    return all(map(_is_json_text, value)) if isinstance(value, list) else not isinstance(value, str) or _is_text(value)


Kind = Literal["instructions", "preferences", "labels"]
FAULTS = {"instructions": conversation_fault, "preferences": preference_fault, "labels": label_fault}
TITLE_WORDS = 12


def kind_of(value: Mapping[str, Any]) -> Kind:
    """Return which file of examples an object belongs in."""
    return "preferences" if "chosen" in value else "labels" if "label" in value else "instructions"


def read_record(record: Mapping[str, Any], shape: Shape) -> dict[str, Any]:
    """Parse a record. Raise ShapeError, whose message says why it can't be parsed.

    Fields that are null count as absent, since rows of a table have every column.
    """
    given = {name: value for name, value in record.items() if value is not None}
    name = next((name for name, known in SHAPES.items() if known.fits(given)), "") if shape == "auto" else shape
    if not name:
        raise ShapeError(f"unknown shape: its fields {', '.join(sorted(given))[:200]} match none of {', '.join(SHAPES)}")
    if not SHAPES[name].fits(given):
        raise ShapeError(f"not of shape {name}: its fields are {', '.join(sorted(given))[:200]}")
    found: dict[str, Any] = SHAPES[name].convert(without_nulls(given))
    if fault := FAULTS[kind_of(found)](found):
        raise ShapeError(f"no conversation: {fault}")
    return found


def without_nulls(value: Any) -> Any:
    """Return a value without the null members of its objects."""
    if isinstance(value, dict):
        return {name: without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if isinstance(value, list) else value


def transcript(value: Mapping[str, Any]) -> str:
    """Return a conversation, pair or labelled answer as text."""
    told = [(message["role"], _said(message)) for message in value["messages"]]
    if tools := value.get("tools"):
        told.insert(0, ("tools", "\n".join(json.dumps(tool, ensure_ascii=False) for tool in tools)))
    told += [(side, value[side]) for side in ("chosen", "rejected") if side in value]
    if "label" in value:
        told.append(("desirable" if value["label"] else "undesirable", value["completion"]))
    return "\n\n".join(f"{role}:\n{text}" for role, text in told)


def title_of(value: Mapping[str, Any]) -> str:
    """Return a conversation's title: the first words of the user."""
    first = next((message["content"] for message in value["messages"] if message["role"] == "user"), "")
    return " ".join(first.split()[:TITLE_WORDS])


def _said(message: Mapping[str, Any]) -> str:
    calls = [json.dumps(call["function"], ensure_ascii=False) for call in message.get("tool_calls", ())]
    return "\n".join(part for part in (message.get("thinking", ""), message["content"], *calls) if part)


Turns = Annotated[
    int,
    Field(
        ge=1,
        le=8,
        description="most exchanges of a conversation: single ones are joined into conversations of one up to that many, as people go on "
        "asking; validation keeps single ones; count",
    ),
]
CHARACTERS = 320  # of a joined conversation: about 100 tokens, which fit into the context of small models
SEVERAL = "several"


def join_exchanges(path: Path, turns: int, seed: int) -> float:
    """Rewrite a file of instructions with conversations of one up to `turns` exchanges; return its number of lines."""
    return write_rows(path, joined(read_rows(path), turns, seed))


def joined(rows: Iterable[Row], turns: int, seed: int) -> Iterator[Row]:
    """Yield rows of `messages`, `topic` and, where there are any, `books`, joined."""
    random = Random(f"turns:{seed}")
    open_rows, wanted = list[Row](), random.randint(1, turns)
    for row in rows:
        if not _is_exchange(row):
            yield row
            continue
        if open_rows and sum(map(_characters, open_rows)) + _characters(row) > CHARACTERS:
            yield _together(open_rows)
            open_rows, wanted = [], random.randint(1, turns)
        open_rows.append(row)
        if len(open_rows) == wanted or row["messages"][-1].get("thinking"):
            yield _together(open_rows)
            open_rows, wanted = [], random.randint(1, turns)
    if open_rows:
        yield _together(open_rows)


def _together(rows: list[Row]) -> Row:
    if len(rows) == 1:
        return rows[0]
    topics = {row["topic"] for row in rows}
    books = {book for row in rows for book in row.get("books", ())}
    messages = [message for row in rows for message in row["messages"]]
    topic = topics.pop() if len(topics) == 1 else SEVERAL
    return {"messages": messages, "topic": topic, **({"books": sorted(books)} if any("books" in row for row in rows) else {})}


def _is_exchange(row: Row) -> bool:
    return [message["role"] for message in row["messages"]] == ["user", "assistant"]


def _characters(row: Row) -> int:
    return sum(len(message["content"]) + len(message.get("thinking") or "") for message in row["messages"])
