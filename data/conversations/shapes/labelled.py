"""Answers with a label, as KTO learns from: a prompt, its `completion`, and `label` or `kto_tag`, true where the answer is desirable.

Without a `completion` the last of the messages is the answer.
"""

from __future__ import annotations

from typing import Any

from data.conversations.shapes.messages import Record, answer_of, with_tools
from data.conversations.shapes.preference import question_of


def fits(record: Record) -> bool:
    """Whether a record looks like it."""
    return "kto_tag" in record or ("label" in record and bool(record.keys() & {"completion", "messages", "conversations"}))


def convert(record: Record) -> dict[str, Any]:
    """Return its labelled answer; 1 and 0, as tables have them, are true and false."""
    label = record["kto_tag"] if "kto_tag" in record else record.get("label")
    prompt, answer = question_of(record), record.get("completion")
    if answer is None and prompt:
        answer = prompt.pop()
    label = bool(label) if label in (0, 1) else {"true": True, "false": False}.get(str(label).lower(), label)
    return with_tools(record, {"messages": prompt, "completion": answer_of(answer, "completion"), "label": label})
