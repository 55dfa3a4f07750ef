"""Report a running job's progress to its launcher, with a heartbeat of every worker.

Progress is a JSON line of rank 0, at most twice a second. For the heartbeat each worker touches its own file every second, so
among workers that wait for each other the dead one can be named. It costs a thread and one change of a file's time a second. A worker of
which only the main thread hangs keeps beating.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

from pydantic import BaseModel

HEARTBEAT_SECONDS = 1.0
SILENT_SECONDS = 5.0


class Progress(BaseModel, frozen=True, defer_build=True):
    """A run's progress. `loss` is the mean of the last step, in nats per unit; None before the first step of this launch.

    `metrics`: everything measured in each step since the last progress, by name, with its `step`.
    `devices`: accelerators used by all workers together; 0 on CPUs.
    """

    step: int
    steps: int
    loss: float | None
    tokens_per_second: float
    seconds_left: float | None
    mfu: float | None = None
    metrics: tuple[dict[str, float], ...] = ()
    note: str = ""
    devices: int = 0


class ProgressWriter:
    """Appends progress to a file; the speed is the mean since this launch's first step.

    `tokens_at` returns the tokens of all steps up to one; batches may grow.
    """

    def __init__(self, path: Path, *, steps: int, tokens_at: Callable[[int], int], devices: int = 0) -> None:
        self._stream = path.open("a", encoding="utf-8")
        self._steps, self._tokens_at, self._devices = steps, tokens_at, devices
        self._first: tuple[int, float] | None = None
        self._waiting: list[dict[str, float]] = []
        self._shown = 0.0

    def note(self, step: int, note: str) -> None:
        """Write a line with a message, such as where the run continues from."""
        where = {"step": step, "steps": self._steps, "devices": self._devices}
        self._write(Progress(**where, loss=None, tokens_per_second=0, seconds_left=None, note=note))

    def step(self, step: int, metrics: dict[str, float], telemetry: dict[str, float]) -> None:
        """Report a finished step: its metrics and what it cost."""
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
                    metrics=tuple(self._waiting),
                    devices=self._devices,
                )
            )
            self._waiting.clear()

    def _write(self, progress: Progress) -> None:
        self._stream.write(progress.model_dump_json() + "\n")
        self._stream.flush()


class LineReader:
    """Follows a growing file from its beginning."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def new(self) -> list[bytes]:
        """Return the complete lines written since the last call."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as stream:
            stream.seek(self._offset)
            content = stream.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._offset += len(whole)
        return whole.splitlines()


class ProgressReader:
    """Follows a progress file from its beginning."""

    def __init__(self, path: Path) -> None:
        self._lines = LineReader(path)

    def new(self) -> list[Progress]:
        """Return the progress written since the last call."""
        return [Progress.model_validate_json(line) for line in self._lines.new()]


def start_heartbeat(directory: Path, rank: int) -> None:
    """Touch this worker's heartbeat file every second from now on, until the process ends."""
    path = directory / f"worker-{rank}.alive"

    def beat() -> None:
        while directory.exists():
            path.touch()
            time.sleep(HEARTBEAT_SECONDS)

    Thread(target=beat, name="heartbeat", daemon=True).start()


def have_joined(directory: Path) -> bool:
    """Whether the workers have met: they start their heartbeats then."""
    return any(directory.glob("worker-*.alive"))


def silent_workers(directory: Path) -> dict[int, float]:
    """Return the workers without a heartbeat for `SILENT_SECONDS`, and for how many seconds; those that never had one are left out."""
    now = time.time()
    ages = {int(path.stem.removeprefix("worker-")): now - path.stat().st_mtime for path in directory.glob("worker-*.alive")}
    return {rank: age for rank, age in sorted(ages.items()) if age > SILENT_SECONDS}
