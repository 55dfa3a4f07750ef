"""The wordings of questions about passages. Each function returns one exchange: topic, question, answer and, if any, a wrong answer."""

from __future__ import annotations

from dataclasses import dataclass

from data.examples.passages import Passage

CONTINUE = ("Continue: {first}", "What comes after this? {first}", "Go on: {first}")
_TITLE_WORDS = 10


@dataclass(frozen=True)
class Exchange:
    """One question and its answer. `wrong`: a bad answer of the same kind, "" if none; `checkable`: short enough to grade.

    `candidates`: more bad answers of the same kind, whose words are from the same book.
    `book`: the document that it asks about; `wrong_book`: the document that the wrong answer is from, if another.
    `choices`: the answers that the question offers; none if it offers none.
    """

    topic: str
    question: str
    answer: str
    wrong: str
    fact: str
    checkable: bool
    book: str
    wrong_book: str = ""
    candidates: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()

    def messages(self) -> list[dict[str, str]]:
        """Return the question as a conversation."""
        return [{"role": "user", "content": self.question}]


def short_title(title: str) -> str:
    """Return the title's first words on one line."""
    return " ".join(title.split()[:_TITLE_WORDS]).rstrip(" .,;:")


def continuation(passage: Passage, wording: int, wrong: str, wrong_book: str) -> Exchange:
    """Ask what follows the first part. Checkable only for a sentence cut in two."""
    question = CONTINUE[wording % len(CONTINUE)].format(first=passage.first)
    return Exchange("continue", question, passage.second, wrong, passage.fact, passage.halves, passage.book, wrong_book)


def which_book(passage: Passage, other_title: str, *, swap: bool) -> Exchange:
    """Ask which of two books the passage is from."""
    right, wrong = short_title(passage.title), short_title(other_title)
    text = f"{passage.first} {passage.second}" if passage.halves else passage.first
    question = f"Which book is this from? {text} {_choice(right, wrong, swap=swap)}"
    return Exchange("which_book", question, right, wrong, passage.fact, True, passage.book, choices=(right, wrong))


def who_says(passage: Passage, *, swap: bool) -> Exchange:
    """Ask which of the two speakers says the first part."""
    choices = passage.first_speaker, passage.second_speaker
    question = f"Who says this? {passage.first} {_choice(*choices, swap=swap)}"
    return Exchange("who_says", question, *choices, passage.fact, True, passage.book, choices=choices)


def who_is_next(passage: Passage, other_speaker: str, *, swap: bool) -> Exchange:
    """Ask who speaks after the first part. The wrong answer is another speaker of the play."""
    choices = passage.second_speaker, other_speaker
    question = f"Who speaks next? {passage.first_speaker}: {passage.first} {_choice(*choices, swap=swap)}"
    return Exchange("who_is_next", question, *choices, passage.fact, True, passage.book, choices=choices)


def _choice(right: str, wrong: str, *, swap: bool) -> str:
    first, second = (wrong, right) if swap else (right, wrong)
    return f"{first} or {second}?"
