"""Progress: what a running job tells its launcher, a line of JSON at a time, at most twice a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel


class Progress(BaseModel, frozen=True):
    """Where a run is. `loss` is the mean of the last step, nats a unit; None before the first step of this launch.

    `told`: what every step since the last progress measured, by name, with its `step`: learning and telemetry.
    `devices`: accelerators in use by all workers together; 0 on processors.
    """

    step: int
    steps: int
    loss: float | None
    tokens_per_second: float
    seconds_left: float | None
    mfu: float | None = None
    told: tuple[dict[str, float], ...] = ()
    note: str = ""
    devices: int = 0


class ProgressWriter:
    """Appends progress to a file; speed is measured over what this launch has done, the first step left out.

    `tokens_at` gives the tokens of all steps up to one; batches may grow.
    """

    def __init__(self, path: Path, *, steps: int, tokens_at: Callable[[int], int], devices: int = 0) -> None:
        self._stream = path.open("a", encoding="utf-8")
        self._steps, self._tokens_at, self._devices = steps, tokens_at, devices
        self._first: tuple[int, float] | None = None
        self._waiting: list[dict[str, float]] = []
        self._shown = 0.0

    def note(self, step: int, note: str) -> None:
        """A line that says where the run is in words: starting, resuming, saving."""
        where = {"step": step, "steps": self._steps, "devices": self._devices}
        self._write(Progress(**where, loss=None, tokens_per_second=0, seconds_left=None, note=note))

    def step(self, step: int, metrics: dict[str, float], telemetry: dict[str, float]) -> None:
        """Tell of a finished step: what was learned in it, and what it took."""
        now = time.perf_counter()
        first, began = self._first = self._first or (step, now)
        speed = (self._tokens_at(step) - self._tokens_at(first)) / (now - began) if step > first else 0.0
        self._waiting.append({"step": step, **metrics, **telemetry})
        if now - self._shown >= 0.5 or step == self._steps:
            self._shown = now
            ahead = self._tokens_at(self._steps) - self._tokens_at(step)
            self._write(
                Progress(
                    step=step,
                    steps=self._steps,
                    loss=metrics["loss"],
                    tokens_per_second=speed,
                    seconds_left=ahead / speed if speed else None,
                    mfu=telemetry.get("mfu"),
                    told=tuple(self._waiting),
                    devices=self._devices,
                )
            )
            self._waiting.clear()

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
