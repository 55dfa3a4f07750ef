"""Encodes conversations from JSON lines into ids with a loss mask, by the tokenizer's chat template.

The mask covers what the assistant wrote and the token that ends it, nothing else (see `tokens/chat_template.py`). An invalid line is
quarantined
with its reason and never stops a run; a missing file raises FileNotFoundError. A conversation longer than a row is dropped, or loses its
oldest exchanges, as asked; either is in the ledger. Memory holds the conversations of one file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.tokens.chat_template import Chat, ChatTemplate, Message, TokenizedChat
from data.tokens.config import TooLong
from data.tokens.encoder import Ids, TextEncoder

Mask = NDArray[np.bool_]
TOO_LONG = "longer than a row"


@dataclass
class LineLedger:
    """The lines that became no rows, or shorter ones: removed or changed (too long), or quarantined (not a valid conversation)."""

    stage: str
    lines: list[dict[str, Any]] = field(default_factory=list)

    def note(self, where: str, line: int, action: str, rule: str, count: int) -> None:
        """Record what `rule` did to line `line` (from 1) of `where`; `count` in tokens."""
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
    """A conversation: its line in the file (from 1), its ids, and the masks of all answers and of the last."""

    line: int
    ids: Ids
    answer: Mask
    last_answer: Mask


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
            fault = check(value) if isinstance(value, dict) else "the line is not a JSON object"
        except json.JSONDecodeError as error:
            value, fault = None, f"not JSON: {error.msg}"
        if fault is None and value is not None:
            valid.append((number, value))
        else:
            ledger.note(path.name, number, "quarantined", fault or "", 0)
    return valid


def chat_of(line: int, value: Mapping[str, Any], answer: str | None = None) -> Chat:
    """Return the conversation of a valid line; `answer`: what the assistant says last, for a pair or a labelled answer."""
    said = [] if answer is None else [{"role": "assistant", "content": answer}]
    return Chat(line, [*value["messages"], *said], value.get("tools", ()))


def encode_conversations(encoder: TextEncoder, chats: Sequence[Chat]) -> Iterator[EncodedConversation]:
    """Yield each conversation. Raise ValueError for one that the chat template refuses."""
    for chat, found in zip(chats, _template(encoder).encode(chats), strict=True):
        if found.fault:
            raise ValueError(f"conversation {chat.line}: {found.fault}")
        yield _encoded(encoder, chat, found)


def fitting_conversations(
    encoder: TextEncoder, chats: Sequence[Chat], width: int, where: str, ledger: LineLedger, too_long: TooLong = "drop"
) -> list[EncodedConversation]:
    """Return the conversations that fit a row of `width` tokens, in order; what became of the others is in the ledger."""
    groups = fitting_groups(encoder, [(chat,) for chat in chats], width, where, ledger, too_long)
    return [group[0] for group in groups]


def fitting_groups(
    encoder: TextEncoder, groups: Sequence[Sequence[Chat]], width: int, where: str, ledger: LineLedger, too_long: TooLong = "drop"
) -> list[tuple[EncodedConversation, ...]]:
    """Do the same for conversations that belong together, such as the two sides of a pair: each group fits as a whole or not at all.

    `too_long`: shorten leaves out the oldest exchanges, of all alike, until the longest fits; a group that can't be shortened is dropped.
    """
    template = _template(encoder)
    encoded = template.encode(chat for group in groups for chat in group)
    kept: list[tuple[EncodedConversation, ...]] = []
    for group in groups:
        line, found = group[0].line, [next(encoded) for _ in group]
        if fault := next((one.fault for one in found if one.fault), ""):
            ledger.note(where, line, "quarantined", fault, 0)
            continue
        before = longest = max(len(one.ids) for one in found)
        shorter = _shorter_groups(group) if too_long == "shorten" else iter(())
        while longest > width and (group := next(shorter, ())):
            found = list(template.encode(group))
            longest = width + 1 if any(one.fault for one in found) else max(len(one.ids) for one in found)
        if longest > width:
            ledger.note(where, line, "removed", TOO_LONG, before)
            continue
        if longest < before:
            ledger.note(where, line, "changed", TOO_LONG, before - longest)
        kept.append(tuple(_encoded(encoder, chat, one) for chat, one in zip(group, found, strict=True)))
    return kept


def _template(encoder: TextEncoder) -> ChatTemplate:
    return ChatTemplate(encoder.directory, encoder.pictures.placeholders if encoder.pictures else None)


def _shorter_groups(group: Sequence[Chat]) -> Iterator[Sequence[Chat]]:
    """Yield the group without its first exchange, then without its first two, and so on; keep what precedes the first user."""
    messages: Sequence[Message] = group[0].messages
    users = [number for number, message in enumerate(messages) if message["role"] == "user"]
    for start in users[1:]:
        yield [chat._replace(messages=[*chat.messages[: users[0]], *chat.messages[start:]]) for chat in group]


def _encoded(encoder: TextEncoder, chat: Chat, found: TokenizedChat) -> EncodedConversation:
    answer, last = np.zeros(len(found.ids), np.bool_), np.zeros(len(found.ids), np.bool_)
    for begin, end in found.answers:
        answer[begin:end] = True
    for begin, end in found.answers[-1:]:
        last[begin:end] = True
    return EncodedConversation(chat.line, found.ids.astype(encoder.dtype), answer, last)
