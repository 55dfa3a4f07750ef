"""The record of the checkpoint in force: small, whole or as it was before, and readable without torch."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel

from model.architecture.directory import write_whole

RECORD = "latest.json"


class Latest(BaseModel, frozen=True):
    """Which checkpoint is in force, whose it is, and the layout that it was saved on."""

    step: int
    identity: str
    workers: int
    zero_stage: int

    @classmethod
    def read(cls, directory: Path) -> Latest | None:
        """The record of a checkpoint directory; None when nothing was saved yet."""
        path = directory / RECORD
        return cls.model_validate_json(path.read_text(encoding="utf-8")) if path.exists() else None

    def write(self, directory: Path) -> None:
        """Put this checkpoint in force."""
        write_whole(directory / RECORD, (json.dumps(self.model_dump(), indent=2) + "\n").encode())
