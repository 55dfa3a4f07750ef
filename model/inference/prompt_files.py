"""Files of prompts, and the ledger of their answered parts, so a killed run continues to the same bytes.

The first line records what determines the answers. Each further line certifies a part of the answers by its end and its SHA-256, and is
written after that part is on disk; anything after the last certified part is incomplete, and is cut off and written again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from data.shards.durable import append_durably
from model.inference.config import SamplingConfig


class Turn(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """A message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class PromptLine(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """A line: either a text to be continued or a conversation to be answered."""

    id: str | int | None = Field(None, description="repeated with the answer; any name or number")
    prompt: str | None = Field(None, description="the beginning of a text, which is continued; text")
    messages: Annotated[list[Turn], Field(min_length=1)] | None = Field(None, description="a conversation, which is answered; messages")
    seed: int | None = Field(None, description="makes sampling repeatable; by default derived from the run's seed and the line's number")
    settings: dict[str, Any] = Field(default_factory=dict, description="sampling settings for this line alone")

    @model_validator(mode="after")
    def _asks_one_thing(self) -> PromptLine:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("give either prompt or messages")
        return self


class LineError(ValueError):
    """A line that can't be answered, and why."""


def read_line(text: bytes) -> PromptLine:
    """Parse a line into a request. Raise LineError if it holds none."""
    try:
        return PromptLine.model_validate_json(text)
    except ValidationError as error:
        raise LineError(_fault(error)) from None


def settings_of(line: PromptLine, base: SamplingConfig) -> SamplingConfig:
    """Return the settings of a line. Raise LineError for a wrong one."""
    try:
        return SamplingConfig.model_validate({**base.model_dump(), **line.settings}) if line.settings else base
    except ValidationError as error:
        raise LineError(f"settings.{_fault(error)}") from None


def seed_of(line: PromptLine, seed: int, number: int) -> int:
    """Return the seed of a line."""
    return line.seed if line.seed is not None else int.from_bytes(hashlib.sha256(f"{seed}:{number}".encode()).digest()[:8]) >> 1


def _fault(error: ValidationError) -> str:
    wrong = error.errors(include_url=False)[0]
    place = ".".join(map(str, wrong["loc"]))
    said = wrong["msg"].removeprefix("Value error, ")
    return f"{place}: {said}" if place else said


FORMAT = "folio-generate-1"


class LedgerError(ValueError):
    """A ledger belongs to another run, or what it vouches for is not there."""


@dataclass(frozen=True)
class Part:
    """Answers to the lines from `first` to `last`. end: where they end in the file, bytes."""

    first: int
    last: int
    end: int
    sha256: str
    written: int
    refused: int
    tokens: int


class Ledger:
    """The ledger of one file of answers, and the answers themselves. `identity`: what the answers follow from."""

    def __init__(self, answers: Path, identity: Mapping[str, Any]) -> None:
        self.answers, self.path = answers, answers.with_name(f"{answers.name}.ledger.jsonl")
        self._identity = {"ledger": FORMAT, **identity}
        self.parts: list[Part] = []

    def open(self, *, restart: bool) -> None:
        """Begin, or continue after the last complete part. Raise LedgerError if that would mix two runs."""
        if restart or not (self.path.exists() or self.answers.exists()):
            self.answers.write_bytes(b"")
            self.path.write_bytes(_line(self._identity))
            return
        if not self.path.exists():
            raise LedgerError(f"{self.answers} exists but has no ledger: it isn't an unfinished run; name another file, or give --restart")
        lines = list(self._whole_lines())
        self._require_same(json.loads(lines[0]) if lines else {})
        self.parts = [Part(**json.loads(line)) for line in lines[1:]]
        self._check()
        os.truncate(self.answers, self.parts[-1].end if self.parts else 0)
        os.truncate(self.path, sum(len(line) for line in lines))

    def add(self, first: int, last: int, content: bytes, *, written: int, refused: int, tokens: int) -> None:
        """Write a part of the answers, then vouch for it."""
        append_durably(self.answers, content)
        end = (self.parts[-1].end if self.parts else 0) + len(content)
        part = Part(first, last, end, hashlib.sha256(content).hexdigest(), written, refused, tokens)
        append_durably(self.path, _line(asdict(part)))
        self.parts.append(part)

    def _whole_lines(self) -> Iterator[bytes]:
        with self.path.open("rb") as stream:
            yield from (line for line in stream if line.endswith(b"\n"))

    def _require_same(self, found: Mapping[str, Any]) -> None:
        differing = [name for name in {**self._identity, **found} if self._identity.get(name) != found.get(name)]
        if differing:
            there = [f"{name}: {_shown(found.get(name))} there, {_shown(self._identity.get(name))} here" for name in sorted(differing)]
            raise LedgerError(
                f"{self.path} is of another run ({'; '.join(there)}); give the same again, name another file, or give --restart"
            )

    def _check(self) -> None:
        """Compare the answers with what the ledger vouches for."""
        with self.answers.open("rb") as stream:
            for part in self.parts:
                content = stream.read(part.end - stream.tell())
                if hashlib.sha256(content).hexdigest() != part.sha256:
                    raise LedgerError(
                        f"{self.answers}: the answers to lines {part.first} to {part.last} are not what was written; give --restart"
                    )


def _line(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, ensure_ascii=False, sort_keys=True).encode() + b"\n"


def _shown(value: Any) -> str:
    return str(value)[:60]
