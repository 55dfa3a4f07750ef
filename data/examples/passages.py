"""Finds short passages of a book to ask about: two consecutive sentences, or two speeches of a play.

Works on any prose. Passages of one book don't overlap, so none reveals a held-out one. A book with a single sentence gives
its halves; sentences above the limit are clipped only if a book has no shorter ones.

The wordings of questions about passages. Each function returns one exchange: topic, question, answer and, if any, a wrong answer.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

_PARAGRAPH = re.compile(r"\n[ \t\r]*\n\s*")
_SENTENCE = re.compile(r"(?<=[.!?])[\"”’')\]]*\s+(?=[\"“‘(]?[A-Z0-9])")
_SPEECH = re.compile(r"^([A-Z][A-Z' ]*[A-Z]|[A-Z][a-z]{1,11})\s*(?:[.:]\s+|\n\s*)(\S.*)$", re.DOTALL)
_NO_SPEAKER = {"mr", "mrs", "dr", "st", "no", "chapter", "chap", "act", "scene", "footnote", "note", "vol", "book", "part", "the end"}
MIN_WORDS = 3
_MIN_SPEECHES = 12
_MIN_SPEECH_SHARE = 0.3


@dataclass(frozen=True)
class Passage:
    """`first` and `second` follow each other in the book. `halves`: they are one sentence cut in two; speakers are "" outside plays."""

    book: str
    title: str
    position: int
    first: str
    second: str
    halves: bool = False
    first_speaker: str = ""
    second_speaker: str = ""

    @property
    def fact(self) -> str:
        """The passage's name: document id and position."""
        return f"{self.book}:{self.position}"


def passages(book: str, title: str, text: str, limit: int) -> list[Passage]:
    """Return passages in reading order whose two parts have at most `limit` words each."""
    paragraphs = [part for part in _PARAGRAPH.split(text) if part.strip()]
    found = _speeches(book, title, paragraphs, limit)
    if not found:
        found = _pairs(book, title, paragraphs, limit, clip=False) or _pairs(book, title, paragraphs, limit, clip=True)
    return found or _halves(book, title, paragraphs, limit)


def sentences(paragraph: str) -> list[str]:
    """Return the sentences of a paragraph, each on one line."""
    return [" ".join(part.split()) for part in _SENTENCE.split(paragraph) if part.strip()]


def _pairs(book: str, title: str, paragraphs: list[str], limit: int, *, clip: bool) -> list[Passage]:
    found: list[Passage] = []
    position = 0
    for paragraph in paragraphs:
        parts = sentences(paragraph)
        for first, second in zip(parts[::2], parts[1::2], strict=False):
            position += 1
            if clip:
                first, second = " ".join(first.split()[-limit:]), " ".join(second.split()[:limit])
            if all(MIN_WORDS <= len(part.split()) <= limit for part in (first, second)):
                found.append(Passage(book, title, position, first, second))
    return found


def _halves(book: str, title: str, paragraphs: list[str], limit: int) -> list[Passage]:
    found: list[Passage] = []
    for position, sentence in enumerate((part for paragraph in paragraphs for part in sentences(paragraph)), 1):
        words = sentence.split()[: 2 * limit]
        middle = (len(words) + 1) // 2
        if len(words) >= 2:
            found.append(Passage(book, title, position, " ".join(words[:middle]), " ".join(words[middle:]), halves=True))
    return found


def _speeches(book: str, title: str, paragraphs: list[str], limit: int) -> list[Passage]:
    """Return pairs of speeches by two speakers; none unless the text reads like a play."""
    speeches: list[tuple[str, str] | None] = []
    for paragraph in paragraphs:
        match = _SPEECH.match(paragraph)
        speaker = match.group(1).strip() if match else ""
        usable = match is not None and speaker.lower() not in _NO_SPEAKER
        speeches.append((speaker, sentences(match.group(2))[0]) if match and usable else None)
    counts = Counter(speech[0] for speech in speeches if speech)
    cast = {speaker for speaker, count in counts.items() if count >= 3}
    spoken = sum(counts[speaker] for speaker in cast)
    if len(cast) < 2 or spoken < _MIN_SPEECHES or spoken < _MIN_SPEECH_SHARE * len(paragraphs):
        return []
    found: list[Passage] = []
    for position in range(0, len(speeches) - 1, 2):
        first, second = speeches[position], speeches[position + 1]
        if not first or not second or first[0] == second[0] or not {first[0], second[0]} <= cast:
            continue
        if all(MIN_WORDS <= len(part[1].split()) <= limit for part in (first, second)):
            names = (_name(first[0]), _name(second[0]))
            found.append(Passage(book, title, position, first[1], second[1], False, *names))
    return found


def _name(speaker: str) -> str:
    return " ".join(word.capitalize() for word in speaker.split())


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
