"""The step log (`history.jsonl`): one JSON line per step, deterministic and without any time in it; timings have a file of their own.

Guarantee: a line is written before the next but one step begins, and before a checkpoint of its step is saved. A resumed run first
truncates its logs to the checkpoint's step, so no step is logged twice, and its step log is byte-identical to that of an undisturbed run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from data.shards.durable import write_atomically


class JsonLines:
    """A file of JSON objects with a `step`: truncated after step `after_step`, then appended to."""

    def __init__(self, path: Path, *, after_step: int) -> None:
        self.path = path
        lines = [line for line in read_lines(path) if line["step"] <= after_step]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, "".join(_line(entry) for entry in lines).encode())
        self._stream = path.open("a", encoding="utf-8")

    def append(self, entry: dict[str, Any]) -> None:
        self._stream.write(_line(entry))
        self._stream.flush()

    def close(self) -> None:
        self._stream.close()


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the complete lines of the file, without a last one cut short by a kill; empty if there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]


def validation_curve(history: Path) -> list[tuple[int, float]]:
    """Return (step, validation loss) of a step log, in nats a target, where it was measured."""
    return [(int(line["step"]), float(line["val_loss"])) for line in read_lines(history) if line.get("val_loss") is not None]


def _line(entry: dict[str, Any]) -> str:
    return json.dumps(entry, allow_nan=False) + "\n"
