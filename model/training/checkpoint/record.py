"""The record of a checkpoint: small, replaced atomically, and readable without importing torch.

`latest.json` in the checkpoint directory names the current checkpoint; each checkpoint's folder holds a copy of its own record.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from data.shards.durable import write_atomically

RECORD = "latest.json"


class CheckpointRecord(BaseModel, frozen=True, defer_build=True):
    """A checkpoint's step, the job it belongs to, the layout it was saved on, and the state of the run's guards (`memory`)."""

    step: int
    identity: str
    workers: int
    zero_stage: int
    memory: dict[str, Any] = {}

    @property
    def folder(self) -> str:
        """The folder of its files, in the checkpoint directory."""
        return folder_of(self.step)

    @property
    def best_step(self) -> int:
        """The step of the lowest validation loss up to this checkpoint; 0 if none was measured."""
        return int(self.memory["validation"]["best_step"])

    @classmethod
    def read(cls, directory: Path) -> CheckpointRecord | None:
        """Return the record in a directory; None if nothing was saved yet."""
        path = directory / RECORD
        return cls.model_validate_json(path.read_text(encoding="utf-8")) if path.exists() else None

    def write(self, directory: Path) -> None:
        """Write the record; in the checkpoint directory this makes the checkpoint the current one."""
        write_atomically(directory / RECORD, (json.dumps(self.model_dump(), indent=2) + "\n").encode())


def folder_of(step: int) -> str:
    """The folder name of a step's checkpoint; names sort as steps do."""
    return f"step-{step:09d}"
