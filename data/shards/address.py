"""Settings of teachers, who write questions about documents; how passages are shown, and when a reply declines. Cheap to import.

A teacher is a model behind an address that speaks as OpenAI's do, or patterns that find what structured documents say themselves.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, field_validator, model_validator


class Address(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """A model behind an address that speaks as OpenAI's does."""

    kind: Literal["endpoint"] = Field("endpoint", description="who is asked: a model behind an OpenAI-compatible address")
    url: str = Field(description="address that /chat/completions follows, such as http://127.0.0.1:8000/v1")
    model: str = Field(min_length=1, description="name of the model there")
    temperature: float = Field(0.0, ge=0, le=2, description="sent with each request; the address decides what it does with it")
    key_variable: str = Field(
        "", json_schema_extra={"identity": False}, description="environment variable that holds the key for the address; empty: no key"
    )
    at_once: int = Field(4, ge=1, le=256, json_schema_extra={"identity": False}, description="requests under way at once; count")
    timeout_seconds: float = Field(120, gt=0, json_schema_extra={"identity": False}, description="longest wait for an answer; seconds")
    tries: int = Field(
        5, ge=1, le=20, json_schema_extra={"identity": False}, description="times a request is sent before the run stops; count"
    )

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} isn't an address such as http://127.0.0.1:8000/v1")
        if parts.username or parts.password or parts.query:
            raise ValueError(
                "the address holds a user, a password or a query; put the key into an environment variable and name it in key_variable"
            )
        return url.rstrip("/")


TAUGHT, TAUGHT_TEXTS = "taught.jsonl", "texts.parquet"
UNANSWERABLE = "unanswerable"  # the reply that prompts ask for where there is no answer: one word, whatever the language of the question
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")


def declines(reply: str, phrases: Iterable[str] = ()) -> bool:
    """Return whether a reply says that there is no answer: `UNANSWERABLE`, or one of the phrases, as whole words of any case.

    In scripts without spaces a phrase is found anywhere. An empty reply says nothing, so it does not decline.
    """
    said = f" {_words(reply)} "
    return any(
        (found in said) if _UNSPACED.search(found) else f" {found} " in said
        for phrase in (UNANSWERABLE, *phrases)
        if (found := _words(phrase))
    )


def _words(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).casefold()
    # Marks are parts of letters: \w would cut Indic words at every vowel sign.
    return " ".join("".join(char if unicodedata.category(char)[0] in "LMN" else " " for char in folded).split())


ASKED = (
    "Answer the question from the passages, and cite each passage that you use by its number, such as [1]. "
    f"If no passage answers it, reply: {UNANSWERABLE}."
)


def asked_from(question: str, passages: Iterable[str]) -> str:
    """Return a message that shows passages by number, from 1, before its question: what a model is tuned on, and asked."""
    listed = "\n\n".join(f"[{number}] {passage}" for number, passage in enumerate(passages, start=1))
    return f"{ASKED}\n\n{listed}\n\nQuestion: {question}"


class Teacher(Address):
    """A model that writes questions or judges them, and what it costs."""

    price_read: float = Field(0.0, ge=0, description="price of a million tokens that it reads; in one currency for all; money")
    price_written: float = Field(0.0, ge=0, description="price of a million tokens that it writes; money")


def _default(name: str) -> Any:
    return Teaching.model_fields[name].default


class Pattern(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """A pattern of what passages say, and how that is asked and answered."""

    find: str = Field(
        description="regular expression with named groups, such as (?P<name>.+); ^ and $ are the ends of lines, and where it matches the "
        "passage says so; text"
    )
    question: str = Field(min_length=1, description="the question, with {NAME} for what the group NAME found; text")
    answer: str = Field(min_length=1, description="the answer, likewise; text")
    sentence: str = Field(
        "",
        description="what a model learns to say, likewise, with the answer in it, which is what it is judged by: a small model copies a "
        "value more surely behind the name that it belongs to; empty: the answer alone; text",
    )

    @model_validator(mode="after")
    def _groups_are_found(self) -> Pattern:
        try:
            groups = re.compile(self.find).groupindex
        except re.error as error:
            raise ValueError(f"find={self.find!r} is no regular expression: {error}") from error
        if self.sentence and self.answer not in self.sentence:
            raise ValueError(
                f"sentence={self.sentence!r} lacks the answer, {self.answer!r}, which it is judged by; write it into the sentence"
            )
        for key in ("question", "answer", "sentence"):
            try:
                getattr(self, key).format_map(dict.fromkeys(groups, ""))
            except (KeyError, IndexError, ValueError, AttributeError) as error:
                known = ", ".join(groups) or "none"
                raise ValueError(f"{key}={getattr(self, key)!r} can't be filled in: {error}; the groups of find are {known}") from error
        return self


class Patterns(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """No model: questions and answers that documents of a regular form have in themselves, such as a table of settings or an FAQ."""

    kind: Literal["patterns"] = Field("patterns", description="who writes: patterns that are looked for in the documents")
    patterns: tuple[Pattern, ...] = Field(min_length=1, description="what is looked for in each passage, in order; find, question, answer")


class Teaching(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """The prompts of a teacher: questions with answers, then each question again, with the passage and without it."""

    teacher: Annotated[Teacher | Patterns, Field(discriminator="kind")] = Field(
        description="who writes questions and answers: a model behind an address, or patterns; by kind"
    )
    judge: Teacher | None = Field(
        None, description="a second model, which is asked of each answer whether the passage says so; null: nobody; an address"
    )
    passages: int = Field(200, ge=1, description="most passages that are asked about, drawn by the seed; count")
    questions: int = Field(3, ge=1, le=20, description="questions that are asked for about each passage; count")
    max_new_tokens: int = Field(400, ge=1, description="longest reply of the teacher; tokens")
    max_calls: int | None = Field(
        None, ge=3, description="requests after which asking ends in good order, each question's checks included; null: no limit; count"
    )
    max_tokens: int | None = Field(
        None, ge=1, description="tokens read and written, as the address counts them, after which no more passages are asked about; null: "
        "no limit; tokens"
    )  # fmt: skip
    max_cost: float | None = Field(
        None,
        gt=0,
        description="what may be spent on teacher and judge by their prices, after which no more passages are asked about; null: no limit; "
        "money",
    )
    seed: int = Field(0, ge=0, description="seed of the passages, of the order in which they are asked about, and sent with each request")

    @field_validator("teacher", mode="before")
    @classmethod
    def _a_model_by_default(cls, given: Any) -> Any:
        return {"kind": "endpoint", **given} if isinstance(given, dict) else given

    @model_validator(mode="after")
    def _costs_something(self) -> Teaching:
        asked = [one for one in (self.teacher, self.judge) if isinstance(one, Teacher)]
        if self.teacher.kind == "patterns":
            idle = [
                name for name in ("judge", "max_new_tokens", "max_calls", "max_tokens", "max_cost") if getattr(self, name) != _default(name)
            ]
            if idle:
                raise ValueError(f"{idle[0]} does nothing with teacher.kind=patterns, which asks nobody; leave it out")
        if self.max_cost is not None and not any(one.price_read or one.price_written for one in asked):
            raise ValueError(
                f"max_cost={self.max_cost:g} needs prices, and neither teacher nor judge has any; set price_read and price_written, or "
                "leave max_cost out"
            )
        if self.max_cost is None and (priced := next((one for one in asked if one.price_read or one.price_written), None)):
            raise ValueError(f"the prices of {priced.model} do nothing without max_cost; set it, or leave them out")
        return self
