"""The history of a run: one JSON line a step, deterministic, with nothing of the clock in it; times lie apart.

Guarantee: a line is on disk before the next step begins. On resume both files are cut back to the checkpoint's step, so no
step stands twice and a resumed history is byte-identical to an undisturbed one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from model.networks.directory import write_atomically


class JsonLines:
    """A file of JSON objects with a `step`, kept up to `after_step` from an earlier life, then appended to."""

    def __init__(self, path: Path, *, after_step: int) -> None:
        self.path = path
        kept = [line for line in read_lines(path) if line["step"] <= after_step]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, "".join(_line(entry) for entry in kept).encode())
        self._stream = path.open("a", encoding="utf-8")

    def append(self, entry: dict[str, Any]) -> None:
        self._stream.write(_line(entry))
        self._stream.flush()

    def close(self) -> None:
        self._stream.close()


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of the file; a last line cut short by a kill is left out. Empty when there is no file."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]


def _line(entry: dict[str, Any]) -> str:
    return json.dumps(entry, allow_nan=False) + "\n"
