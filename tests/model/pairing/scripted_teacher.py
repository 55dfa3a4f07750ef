"""A teacher that writes about the facts of an invented handbook, a part of it wrong on purpose, and what is true of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any

from model.pairing.teacher import OPEN, WRITE
from tests.data.searching.handbook import Fact
from tests.model.pairing.test_constitution import Address, said

ELSEWHERE = "What is the capital of France?"
FAULTS = ("false", "stubborn", "swapped", "elsewhere", "absent", "copied", "repeated", "known")


class Truth:
    """The facts of a handbook, by sentence and by question."""

    def __init__(self, facts: Sequence[Fact]) -> None:
        self.facts = facts
        self.by_sentence = {fact.sentence: fact for fact in facts}
        self.by_question = {fact.question: fact for fact in facts}

    def is_right(self, item: dict[str, Any]) -> bool:
        """Return whether an item is true, of its passage, and not known without it."""
        fact = self.by_question.get(item["question"])
        true = fact is not None and item["answer"] in (fact.answer, short(fact.answer)) and fact.sentence in item["text"]
        return true and item["without_passage"] != item["answer"]


class ScriptedTeacher:
    """Writes about the facts of a passage, a part of it wrong on purpose in every way; `faults`: by question, what is wrong with it."""

    def __init__(self, truth: Truth, wrong: float = 0.4) -> None:
        self.truth, self.wrong, self.faults, self.told = truth, wrong, dict[str, str](), dict[str, str]()

    def __call__(self, messages: list[dict[str, str]]) -> dict[str, Any]:
        asked = messages[-1]["content"]
        if asked.startswith(WRITE[:6]):
            return said("\n".join(f"Q: {question}\nA: {answer}" for question, answer in self.write(asked)))
        question = asked.rpartition("Question: ")[2]
        return said(self.open(asked, question) if asked.startswith(OPEN[:30]) else self.closed(question))

    def write(self, asked: str) -> Iterator[tuple[str, str]]:
        about = [fact for sentence, fact in self.truth.by_sentence.items() if sentence in asked][:3]
        for number, fact in enumerate(about):
            draw = Random(fact.question)
            kind = draw.choice(FAULTS) if draw.random() < self.wrong else ""
            other = about[(number + 1) % len(about)]
            absent = next(one for one in self.truth.facts[draw.randrange(100) :] if one.document != fact.document)
            question, answer = {
                "": (fact.question, draw.choice([fact.answer, short(fact.answer)])),
                "false": (fact.question, fact.wrong),
                "stubborn": (fact.question, fact.wrong),
                "swapped": (fact.question, other.answer),
                "elsewhere": (ELSEWHERE, "Paris"),
                "absent": (absent.question, fact.answer),
                "copied": ("Write 3 questions that the passage answers, each with its answer?", fact.answer),
                "repeated": (fact.question, fact.answer),
                "known": (fact.question, fact.answer),
            }[kind]
            if kind == "swapped" and other.answer == fact.answer:
                kind = ""
            self.faults[question], self.told[question] = kind, answer
            yield question, answer
            if kind == "repeated":
                yield f"{question} ", answer

    def open(self, asked: str, question: str) -> str:
        if self.faults.get(question) == "stubborn":
            return self.told[question]
        fact = self.truth.by_question.get(question)
        return short(fact.answer) if fact and fact.sentence in asked else "Paris" if question == ELSEWHERE else "unanswerable"

    def closed(self, question: str) -> str:
        if question == ELSEWHERE:
            return "Paris"
        return (
            self.truth.by_question[question].answer
            if self.faults.get(question) == "known"
            else Random(question).choice(["Unanswerable.", "Zeno of Ulm"])
        )


def short(answer: str) -> str:
    """A true answer in fewer words."""
    return answer.removesuffix(" looks after it.").removeprefix("It is inspected ").removeprefix("The switch is ").rstrip(".")


def teacher_at(url: str, **more: Any) -> dict[str, Any]:
    """Return the section of a recipe that names a teacher behind an address."""
    return {"url": url, "model": "scripted", "tries": 1, **more}


@contextmanager
def scripted_address(truth: Truth) -> Iterator[Address]:
    """Serve a scripted teacher at an address of this machine."""
    found = Address(ScriptedTeacher(truth))
    yield found
    found.server.shutdown()
    found.server.server_close()
