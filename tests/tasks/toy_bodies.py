"""What the bodies of toy stages import in their own processes: their configs, and a log of who ran. Small, so that they start quickly."""

from __future__ import annotations

import os
import time
from pathlib import Path

from pydantic import BaseModel, Field

from tasks.stage.identity.key import NOT_IDENTITY

FOLDER = "FOLIO_TOYS"


class Collect(BaseModel, frozen=True):
    words: str = "the cat the dog"


class Count(BaseModel, frozen=True):
    longest: int = 9


class Learn(BaseModel, frozen=True):
    rate: float = 0.5


class Judge(BaseModel, frozen=True):
    limit: int = 1


class Nothing(BaseModel, frozen=True):
    pass


class Read(BaseModel, frozen=True):
    folder: str = Field("books", json_schema_extra=NOT_IDENTITY)
    tone: int = 0


def executed(stage: str) -> None:
    """Record that a body runs, and block while bodies are held."""
    folder = Path(os.environ[FOLDER])
    with (folder / "executed").open("a") as stream:
        stream.write(f"{stage}\n")
    until = time.monotonic() + 60
    while (folder / "held").exists():
        assert time.monotonic() < until
        time.sleep(0.01)
