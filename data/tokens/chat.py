"""Encodes conversations and preference pairs from JSON lines into ids with a loss mask.

Content is encoded as text, never parsed for special tokens; the mask covers the assistant's answers and the `<|end|>` that closes each,
nothing else. An invalid line is quarantined with its reason and never stops a run; a missing file raises FileNotFoundError.
Memory holds the conversations of one file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.tokens.encoder import Ids, TextEncoder
from data.tokens.special import ASSISTANT, BOS, END, ROLES

Messages = Sequence[dict[str, str]]
Mask = NDArray[np.bool_]


@dataclass
class LineLedger:
    """The lines that became no rows: removed (too long) or quarantined (not a valid conversation)."""

    stage: str
    lines: list[dict[str, Any]] = field(default_factory=list)

    def note(self, where: str, line: int, action: str, rule: str, count: int) -> None:
        """Record that line `line` (from 1) of `where` was removed or quarantined by `rule`; `count` in tokens."""
        entry = {"stage": self.stage, "file": where, "line": line, "action": action, "rule": rule, "tokens": count}
        self.lines.append(entry)

    def counted(self, action: str) -> int:
        """Return the number of lines with an action."""
        return sum(line["action"] == action for line in self.lines)

    def write(self, path: Path) -> None:
        """Write the ledger as JSON lines, in the order of the notes."""
        path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in self.lines), encoding="utf-8")


@dataclass(frozen=True)
class EncodedConversation:
    """A conversation: its line in the file (from 1), ids from `<|bos|>` on, the mask of all answers, the index of the last role token."""

    line: int
    ids: Ids
    answer: Mask
    last_start: int

    @property
    def last_answer(self) -> Mask:
        """The mask of the last message alone: the earlier turns of a preference pair are equal on both sides."""
        return self.answer & (np.arange(len(self.ids)) > self.last_start)


def read_lines(path: Path, check: Callable[[dict[str, Any]], str | None], ledger: LineLedger) -> list[tuple[int, dict[str, Any]]]:
    """Return (line number, object) for every valid line; a line for which `check` returns a fault is quarantined in the ledger."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist: it should hold conversations; make the examples first")
    valid: list[tuple[int, dict[str, Any]]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            fault = check(value) if isinstance(value, dict) else "the line is no JSON object"
        except json.JSONDecodeError as error:
            value, fault = None, f"not JSON: {error.msg}"
        if fault is None and value is not None:
            valid.append((number, value))
        else:
            ledger.note(path.name, number, "quarantined", fault or "", 0)
    return valid


def conversation_fault(value: dict[str, Any]) -> str | None:
    """Return why this is not a valid conversation, or None: known roles, text contents, and an assistant's message last."""
    fault = _messages_fault(value.get("messages"))
    if fault is None and value["messages"][-1]["role"] != "assistant":
        fault = "the last message is not the assistant's"
    return fault


def preference_fault(value: dict[str, Any]) -> str | None:
    """Return why this is not a valid preference pair, or None: messages that end with the user, and two different answers."""
    fault = _messages_fault(value.get("messages"))
    if fault is None and value["messages"][-1]["role"] != "user":
        fault = "the last message is not the user's"
    chosen, rejected = value.get("chosen"), value.get("rejected")
    if fault is None and not (_is_text(chosen) and _is_text(rejected)):
        fault = "chosen or rejected is no text"
    return "chosen and rejected are the same" if fault is None and chosen == rejected else fault


def label_fault(value: dict[str, Any]) -> str | None:
    """Return why this is not a labelled answer, or None: messages that end with the user, an answer, and true or false."""
    fault = _messages_fault(value.get("messages"))
    if fault is None and value["messages"][-1]["role"] != "user":
        fault = "the last message is not the user's"
    if fault is None and not _is_text(value.get("completion")):
        fault = "completion is no text"
    return "label is neither true nor false" if fault is None and not isinstance(value.get("label"), bool) else fault


def encode_conversations(encoder: TextEncoder, lines: list[tuple[int, Messages]]) -> Iterator[EncodedConversation]:
    """Yield each conversation as `<|bos|>`, then role, content and `<|end|>` for each message."""
    contents = encoder.encode(message["content"] for _, messages in lines for message in messages)
    for number, messages in lines:
        ids: list[Ids] = [np.array([BOS], dtype=encoder.dtype)]
        answer: list[Mask] = [np.zeros(1, dtype=np.bool_)]
        for message in messages:
            role = ROLES[message["role"]]
            content = next(contents)
            ids += [np.array([role], encoder.dtype), content, np.array([END], encoder.dtype)]
            answer += [np.zeros(1, np.bool_), np.full(len(content) + 1, role == ASSISTANT)]
        last_start = sum(map(len, ids[:-3]))
        yield EncodedConversation(number, np.concatenate(ids), np.concatenate(answer), last_start)


def _messages_fault(messages: object) -> str | None:
    if not isinstance(messages, list) or not messages:
        return "messages is no list of messages"
    for message in messages:
        if not isinstance(message, dict) or message.get("role") not in ROLES:
            return f"a message has no role of {sorted(ROLES)}"
        if not _is_text(message.get("content")):
            return "a message's content is no text"
    return None


def _is_text(value: object) -> bool:
    """Whether a value is a string that UTF-8 can encode: JSON may contain half a surrogate pair."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
