"""Progress: what a running job tells its launcher, a line of JSON at a time, at most twice a second."""

from __future__ import annotations

import time
from pathlib import Path

from pydantic import BaseModel


class Progress(BaseModel, frozen=True):
    """Where a run is. `loss` is the mean of the last step, nats a unit; None before the first step of this launch.

    `devices`: accelerators in use by all workers together; 0 on processors.
    """

    step: int
    steps: int
    loss: float | None
    learning_rate: float
    tokens_per_second: float
    seconds_left: float | None
    metrics: dict[str, float] = {}
    note: str = ""
    devices: int = 0


class ProgressWriter:
    """Appends progress to a file; speed is measured over what this launch has done, the first step left out."""

    def __init__(self, path: Path, *, start: int, steps: int, tokens_a_step: int, devices: int = 0) -> None:
        self._stream = path.open("a", encoding="utf-8")
        self._steps, self._tokens, self._devices = steps, tokens_a_step, devices
        self._first: tuple[int, float] | None = None
        self._shown = 0.0

    def note(self, step: int, note: str) -> None:
        """A line that says where the run is in words: starting, resuming, saving."""
        where = {"step": step, "steps": self._steps, "devices": self._devices}
        self._write(Progress(**where, loss=None, learning_rate=0, tokens_per_second=0, seconds_left=None, note=note))

    def step(self, step: int, learning_rate: float, metrics: dict[str, float]) -> float:
        """Tell of a finished step; returns the speed, tokens a second (0 until it can be known)."""
        now = time.perf_counter()
        first, began = self._first = self._first or (step, now)
        each = (now - began) / (step - first) if step > first else None
        speed = self._tokens / each if each else 0.0
        if now - self._shown >= 0.5 or step == self._steps:
            self._shown = now
            left = each * (self._steps - step) if each else None
            self._write(
                Progress(
                    step=step,
                    steps=self._steps,
                    loss=metrics["loss"],
                    learning_rate=learning_rate,
                    tokens_per_second=speed,
                    seconds_left=left,
                    metrics=metrics,
                    devices=self._devices,
                )
            )
        return speed

    def _write(self, progress: Progress) -> None:
        self._stream.write(progress.model_dump_json() + "\n")
        self._stream.flush()


class ProgressReader:
    """Follows a progress file from its beginning; each call returns what is new, whole lines only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._place = 0

    def new(self) -> list[Progress]:
        if not self._path.exists():
            return []
        with self._path.open("rb") as stream:
            stream.seek(self._place)
            content = stream.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._place += len(whole)
        return [Progress.model_validate_json(line) for line in whole.splitlines()]
