r"""The journal of judgements: a folder of JSON lines, one file a judge, appended to and never rewritten.

A line holds one judgement, or the withdrawal of others, and the `id` of its content: 16 hex digits of the sha256 of all else in it. A line
that was edited, repeated, or cut by a kill while it was written is set aside with a reason and changes nothing of the others. A cut line
stays where it is: the next append ends it with "\n" first.

    {"version": 1, "id": "...", "time": "2026-12-03T10:00:00.000000Z", "judge": "ada", "kind": "preference", "prompt": [...],
     "answers": [{"text", "model", "digest"}, {...}], "preferred": "A", "seed": 7, "reason": ""}

Cost of an append: one open, lock, write and fsync. Reading holds all lines in memory.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationError, model_validator

from data.judgements.config import ENDING, journal_files
from data.shards.durable import flush_to_disk

VERSION = 1
ID_DIGITS = 16
LONGEST_LINE = 4 << 20  # bytes; one request of a page can't hold more


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("is empty; write something")
    return value


def _shown(value: str) -> str:
    """Refuse what a terminal or a page would act on, or not show."""
    if not value.isprintable():
        raise ValueError("has a character that can't be shown, such as a line end; leave it out")
    return value


Text = Annotated[str, AfterValidator(_not_blank)]
Name = Annotated[str, Field(max_length=200), AfterValidator(_not_blank), AfterValidator(_shown)]


class Part(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """A part of a journal's line."""


class Message(Part):
    """One message of what was asked."""

    role: Literal["system", "user", "assistant"] = Field(description="who speaks")
    content: str = Field(description="what is said; text")


class Answer(Part):
    """An answer that was shown, and the model that wrote it."""

    text: str = Field(description="the whole answer; text")
    model: Name = Field(description="what people call the model; name")
    digest: str = Field(pattern=r"^([0-9a-f]{64})?$", description="content digest of the model's artifact; empty: not known; 64 hex digits")

    @property
    def by(self) -> str:
        """The model's digest, or its name where that is not known."""
        return self.digest or self.model


class Line(Part):
    """The fields of every line of a journal."""

    version: Literal[1] = Field(1, description="version of this format")
    time: str = Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$", description="when, UTC, to the microsecond")
    judge: Name = Field(description="who judged; name")
    reason: str = Field("", max_length=10_000, description="why, in the judge's words; text")

    @property
    def id(self) -> str:
        """The first 16 hex digits of the sha256 of the line's content."""
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:ID_DIGITS]


class Judged(Line):
    """A judgement of answers to a prompt."""

    MOST: ClassVar[int] = 1
    LEAST: ClassVar[int] = 1

    prompt: tuple[Message, ...] = Field(min_length=1, description="what was asked: messages, of which the last is the user's")
    answers: tuple[Answer, ...] = Field(description="the answers that were shown, in the order in which they were")

    @model_validator(mode="after")
    def _is_answered(self) -> Self:
        if self.prompt[-1].role != "user" or not self.prompt[-1].content.strip():
            raise ValueError("prompt: the last message is not the user's, or it is empty; judge answers to what a user asked")
        if not self.LEAST <= len(self.answers) <= self.MOST:
            raise ValueError(f"answers: {len(self.answers)} were given, and a {getattr(self, 'kind', 'judgement')} is of {self.MOST}")
        return self


class Preference(Judged):
    """The better of two answers."""

    MOST: ClassVar[int] = 2
    LEAST: ClassVar[int] = 2

    kind: Literal["preference"] = "preference"
    preferred: Literal["A", "B", "tie"] = Field(description="A: the first answer, B: the second, tie: neither")
    seed: int | None = Field(None, ge=0, description="seed that drew which answer was shown first; null: not drawn; integer")

    @model_validator(mode="after")
    def _answers_differ(self) -> Self:
        if self.answers[0].text == self.answers[1].text:
            raise ValueError("answers: both are the same text, so neither can be preferred")
        return self


class Label(Judged):
    """Whether an answer is good."""

    kind: Literal["label"] = "label"
    good: bool = Field(description="true: good; false: bad")


class Ideal(Judged):
    """The answer that should have been given."""

    LEAST: ClassVar[int] = 0

    kind: Literal["ideal"] = "ideal"
    ideal: Text = Field(description="the ideal answer; text")


class Correction(Judged):
    """A wrong fact in an answer, and what is right."""

    kind: Literal["correction"] = "correction"
    wrong: Text = Field(description="the wrong words, as they stand in the answer; text")
    right: Text = Field(description="the words that should stand there; text")

    @model_validator(mode="after")
    def _wrong_is_there(self) -> Self:
        if (count := self.answers[0].text.count(self.wrong)) != 1:
            raise ValueError(f"wrong: these words stand {count} times in the answer; copy more of it, until they stand there once")
        if self.wrong == self.right:
            raise ValueError("right: the same words as wrong; write what should stand there")
        return self

    @property
    def corrected(self) -> str:
        """The answer with the right words."""
        return self.answers[0].text.replace(self.wrong, self.right)


class Withdrawal(Line):
    """Take back judgements: one by its id, all of a judge, or all that show an answer."""

    kind: Literal["withdrawal"] = "withdrawal"
    of: Literal["judgement", "judge", "answer"] = Field(description="what `what` names")
    what: Name = Field(description="an id, the judge's name, or the sha256 of the answer's text")


AnyLine = Annotated[Preference | Label | Ideal | Correction | Withdrawal, Field(discriminator="kind")]
AnyJudged = Preference | Label | Ideal | Correction
LINE: TypeAdapter[AnyLine] = TypeAdapter(AnyLine)


class Place(NamedTuple):
    """The place of a line: its file, and its number from 1."""

    file: str
    line: int


class Entry(NamedTuple):
    """A line that was read."""

    line: AnyLine
    place: Place


class SetAside(NamedTuple):
    """A line that could not be used, and why. The reason holds none of its words."""

    place: Place
    reason: str


class Journal(NamedTuple):
    """A folder's lines in order of time and id, and those that were set aside, in order of place."""

    entries: tuple[Entry, ...]
    set_aside: tuple[SetAside, ...]


def now() -> str:
    """Return the time as lines have it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_line(content: Mapping[str, Any]) -> AnyLine:
    """Return the line that a JSON object describes, such as a page's form. Raise ValueError naming the first fault, without its value."""
    try:
        return LINE.validate_python(json.loads(json.dumps(content)))
    except ValidationError as error:
        raise ValueError(_fault(error)) from None


def file_of(judge: str) -> str:
    """Return the name of a judge's file: readable, and different for every name."""
    readable = re.sub(r"[^a-z0-9]+", "-", judge.lower()).strip("-")[:40]
    return f"{readable or 'judge'}-{hashlib.sha256(judge.encode()).hexdigest()[:8]}{ENDING}"


def append(folder: Path, line: AnyLine) -> str:
    """Add a line to its judge's file and return its id, once the disk has it. Raise OSError if it can't be written.

    Writers of one file wait for each other. A kill leaves at most a part of the line at the end, which the next append ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file_of(line.judge)
    content = json.dumps({"id": line.id, **line.model_dump(mode="json")}, ensure_ascii=False).encode() + b"\n"
    if len(content) > LONGEST_LINE:
        raise ValueError(f"a judgement of {len(content)} bytes is longer than {LONGEST_LINE}; shorten prompt, answers or reason")
    is_new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            content = b"\n" + content
        while content:
            content = content[os.write(descriptor, content) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)  # which also unlocks it
    if is_new:
        flush_to_disk(folder)  # which holds the name of the new file
    return line.id


def read_journal(folder: Path, check: Callable[[str, bytes], None] = lambda name, content: None) -> Journal:
    """Read all files of a folder. `check` is given each file's name and content, and may raise."""
    entries: list[Entry] = []
    set_aside: list[SetAside] = []
    seen: set[str] = set()
    for path in journal_files(folder):
        content = path.read_bytes()
        check(path.name, content)
        for place, found in _lines(path.name, content):
            if isinstance(found, str):
                set_aside.append(SetAside(place, found))
            elif found.id in seen:
                set_aside.append(SetAside(place, f"repeated: {found.id} stands before"))
            else:
                seen.add(found.id)
                entries.append(Entry(found, place))
    return Journal(tuple(sorted(entries, key=lambda entry: (entry.line.time, entry.line.id))), tuple(set_aside))


def _lines(name: str, content: bytes) -> Iterator[tuple[Place, AnyLine | str]]:
    """Yield each line that isn't blank with its place, or why it can't be used. A JSON object that was cut never parses."""
    for number, line in enumerate(content.split(b"\n"), start=1):
        if line.strip():
            yield Place(name, number), _line(line)


def _line(content: bytes) -> AnyLine | str:
    try:
        given = json.loads(content)
    except (ValueError, RecursionError):  # also of what isn't UTF-8, and of lists within lists without end
        return "damaged: not JSON, as of a write that was cut"
    if not isinstance(given, dict):
        return "damaged: not a JSON object"
    if given.get("version") != VERSION:
        return f"of version {given.get('version')!r}, and this folio reads version {VERSION}; read it with a newer one"
    identity = given.pop("id", None)
    try:
        found = LINE.validate_python(given)
    except ValidationError as error:
        return f"no judgement: {_fault(error)}"
    return found if found.id == identity else "edited: its id is not that of its content"


def _fault(error: ValidationError) -> str:
    """Return the first fault of a line as a place and a reason, without the values, which are people's words."""
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"][1:])
    return f"{place}{': ' if place else ''}{first['msg'].removeprefix('Value error, ')}"


def names_of(lines: Iterable[AnyLine]) -> dict[str, str]:
    """Return what each model is called, by what tells it from others: the newest name; with the beginning of its digest if two share it."""
    found = {answer.by: answer.model for line in lines if not isinstance(line, Withdrawal) for answer in line.answers}
    shared = [name for name in found.values() if list(found.values()).count(name) > 1]
    return {by: f"{name} {by[:8]}" if name in shared else name for by, name in found.items()}
