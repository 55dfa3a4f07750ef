"""Answers from documents: which passages a prompt shows, and what is said of each citation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from model.inference.chat import ChatModel
from model.inference.chat_format import ChatFormat, Message
from model.inference.config import SamplingConfig
from model.inference.documents import cited, with_passages
from model.networks.decoder import Decoder


@dataclass(frozen=True)
class Told:
    """A passage."""

    document: str
    text: str
    id: str = "00"
    title: str = ""
    start: int = 0
    end: int = 9


class Shelf:
    """Documents that give what they are told to, and support what stands in a passage word for word."""

    def __init__(self, *passages: Told) -> None:
        self.passages, self.asked = passages, list[str]()

    def retrieve(self, question: str) -> Sequence[Told]:
        self.asked.append(question)
        return self.passages

    def supports(self, statement: str, question: str, passage: str) -> bool:
        return bool(statement) and statement.strip() in passage


SHELF = Shelf(Told("a.txt", "The saw is red"), Told("b.txt", "The kiln is hot"))


def shown(limit: int, *messages: Message) -> tuple[list[Message], int]:
    told, passages = with_passages(messages, SHELF.passages, lambda found: len(found[-1]["content"]) <= limit)
    return told, len(passages)


def test_a_prompt_shows_as_many_passages_as_fit_and_is_plain_where_none_does() -> None:
    asked: Message = {"role": "user", "content": "What is red?"}
    (both,), count = shown(1000, asked)
    assert count == 2 and "[1] The saw is red\n\n[2] The kiln is hot\n\nQuestion: What is red?" in both["content"]
    (one,), count = shown(len(both["content"]) - 1, asked)
    assert count == 1 and "[1] The saw is red" in one["content"] and "kiln" not in one["content"]
    assert shown(20, asked) == ([asked], 0)
    assert shown(1000, {"role": "tool", "content": "{}"}) == ([{"role": "tool", "content": "{}"}], 0)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("The saw is red [1].", [(1, True), (2, None)]),
        ("The saw is red. [1]", [(1, True), (2, None)]),
        ("Good question! The kiln is hot [2]. The saw is blue [1].", [(2, True), (1, False)]),
        ("The saw is red [1][2].", [(1, True), (2, False)]),
        ("The saw is red [1]. The saw is old [1].", [(1, False), (2, None)]),
        ("The saw is red [7].", [(7, False), (1, None), (2, None)]),
        ("It is red.", [(1, None), (2, None)]),
        ("[1]", [(1, False), (2, None)]),
    ],
)
def test_a_citation_is_supported_if_its_passage_has_each_sentence_that_cites_it(
    answer: str, expected: list[tuple[int, bool | None]]
) -> None:
    found = cited(answer, "What is red?", SHELF.passages, SHELF.supports)
    assert [(citation.number, citation.supported) for citation in found] == expected
    assert all(citation.document == SHELF.passages[citation.number - 1].document for citation in found if citation.number <= 2)
    assert [citation.cited for citation in found] == [f"[{citation.number}]" in answer for citation in found]


def test_a_conversation_asks_for_each_message_and_keeps_no_passage(decoder: Decoder, chat_format: ChatFormat) -> None:
    shelf = Shelf(Told("a.txt", "Ada"), Told("b.txt", "x" * 900))
    session, plain = (ChatModel(decoder.decoding(), chat_format) for _ in range(2))
    session.documents = shelf
    sampling = SamplingConfig(max_new_tokens=4)
    for text in ("Who?", "Why?"):
        "".join(session.say(text, sampling))
    "".join(plain.say("Who?", sampling))
    assert shelf.asked == ["Who?", "Why?"]
    assert [message["content"] for message in session.history if message["role"] == "user"] == ["Who?", "Why?"]
    assert plain.citations == [] and all(not citation.cited for citation in session.citations)
