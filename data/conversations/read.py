"""Reads a record of any shape into a conversation, a preference pair or a labelled answer, and renders it as text.

Corpus stages compare, search and show this text. It has every word of the conversation, each message below its
role.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from data.conversations.schema import conversation_fault, label_fault, preference_fault
from data.conversations.shapes.messages import ShapeError
from data.conversations.shapes.registry import SHAPES, Shape

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
    name = next((name for name, module in SHAPES.items() if module.fits(given)), "") if shape == "auto" else shape
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
