"""Answers from documents: passages go into the prompt by number, and what an answer cites is checked against them.

The passages stand in the last message of the user, best first, as many as leave room for a reply. They are never part of the history: each
message brings its own. A citation whose passage lacks the words of its sentence is marked as not supported, and so is one of a number that
no passage has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from data.shards.address import asked_from
from model.inference.chat_format import ChatFormat, Message

_MARK = re.compile(r"\[(\d{1,3})\]")
_SENTENCES = re.compile(r"(?<=[.!?…।؟])\s+|(?<=[。！？])|\n+")
_ENDS = " \t\n.,;:!?…。！？।؟"


class Passage(Protocol):
    """A passage of a document. `start`, `end`: its place there; characters."""

    @property
    def id(self) -> str: ...
    @property
    def document(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def text(self) -> str: ...


class Documents(Protocol):
    """Documents that can be asked."""

    def retrieve(self, question: str) -> Sequence[Passage]:
        """Return the passages that answer a question best, best first."""

    def supports(self, statement: str, question: str, passage: str) -> bool:
        """Return whether a passage has the words of a statement that answers a question."""


@dataclass(frozen=True)
class Citation:
    """A passage that an answer cites by its number. `supported`: it has the words of each sentence that cites it; None: it is not cited.

    Of a number that no passage has, all else is empty.
    """

    number: int
    document: str = ""
    id: str = ""
    title: str = ""
    start: int = 0
    end: int = 0
    text: str = ""
    cited: bool = True
    supported: bool | None = None

    def body(self) -> dict[str, Any]:
        """Return the citation as JSON."""
        return asdict(self)


def with_passages(
    messages: Sequence[Message], passages: Sequence[Passage], fits: Callable[[Sequence[Message]], bool]
) -> tuple[list[Message], Sequence[Passage]]:
    """Return the messages with as many passages in the last one as fit, and those passages; without any, the messages as they are.

    Only a last message of the user gets some.
    """
    for count in range(len(passages) if messages and messages[-1]["role"] == "user" else 0, 0, -1):
        told = {**messages[-1], "content": asked_from(messages[-1]["content"], [passage.text for passage in passages[:count]])}
        if fits(found := [*messages[:-1], told]):
            return found, passages[:count]
    return list(messages), ()


def fits_in(
    chat_format: ChatFormat, context: int, max_new_tokens: int, tools: Sequence[Message] = ()
) -> Callable[[Sequence[Message]], bool]:
    """Return whether messages leave room for a reply, `max_new_tokens` or half of the context if that is less."""
    room = context - min(max_new_tokens, context // 2)
    return lambda messages: len(chat_format.encode_chat(messages, tools=tools)) <= room


def cited(answer: str, question: str, passages: Sequence[Passage], supports: Callable[[str, str, str], bool]) -> list[Citation]:
    """Return the passages, those that an answer cites first, in the order in which it does. `supports`: as that of `Documents`."""
    statements: dict[int, list[str]] = {}
    for mark in _MARK.finditer(answer):
        before = _MARK.sub("", answer[: mark.start()]).rstrip(_ENDS)
        statements.setdefault(int(mark[1]), []).append(_SENTENCES.split(before)[-1])
    found = []
    for number in (*statements, *(number for number in range(1, len(passages) + 1) if number not in statements)):
        if not 1 <= number <= len(passages):
            found.append(Citation(number, supported=False))
            continue
        passage, said = passages[number - 1], statements.get(number, [])
        held = all(supports(statement, question, passage.text) for statement in said) if said else None
        place = (passage.document, passage.id, passage.title, passage.start, passage.end, passage.text)
        found.append(Citation(number, *place, cited=bool(said), supported=held))
    return found
