"""The record of the checkpoint in force: small, whole or as it was before, and readable without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from model.networks.directory import write_atomically

RECORD = "latest.json"


class Latest(BaseModel, frozen=True):
    """Which checkpoint is in force, whose it is, the layout that it was saved on, and what the run's guards remember."""

    step: int
    identity: str
    workers: int
    zero_stage: int
    memory: dict[str, Any] = {}

    @property
    def folder(self) -> str:
        """Where its files are, in the checkpoint directory."""
        return folder_of(self.step)

    @property
    def best_step(self) -> int:
        """The step of the lowest validation loss before it; 0: none was measured."""
        return int(self.memory["validation"]["best_step"])

    @classmethod
    def read(cls, directory: Path) -> Latest | None:
        """The record of a checkpoint directory; None when nothing was saved yet."""
        path = directory / RECORD
        return cls.model_validate_json(path.read_text(encoding="utf-8")) if path.exists() else None

    def write(self, directory: Path) -> None:
        """Put this checkpoint in force."""
        write_atomically(directory / RECORD, (json.dumps(self.model_dump(), indent=2) + "\n").encode())


def folder_of(step: int) -> str:
    """The folder of a step's checkpoint; names sort as steps do."""
    return f"step-{step:09d}"
