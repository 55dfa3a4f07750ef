"""What the leading worker writes as it goes: history, times, progress."""

from __future__ import annotations

import torch

from model.training.job import Job
from model.training.launch.progress import ProgressWriter
from model.training.telemetry.step_log import JsonLines
from model.training.telemetry.telemetry import Telemetry, Waiting


class Records:
    """The open files of one launch."""

    def __init__(self, job: Job, start: int, note: str, device: torch.device, waiting: Waiting) -> None:
        devices = job.resources.parallel.workers if device.type == "cuda" else 0
        path = job.run_directory() / "progress.jsonl"
        self._progress = ProgressWriter(path, steps=job.total_steps, tokens_at=self._tokens_at, devices=devices)
        self._job = job
        self._history = JsonLines(job.checkpoints / "history.jsonl", after_step=start)
        self._timing = JsonLines(job.checkpoints / "timing.jsonl", after_step=start)
        self._telemetry = Telemetry(job, device, waiting)
        against = f"MFU is told against {self._telemetry.against}" if self._telemetry.against else ""
        self._progress.note(start, "; ".join(filter(None, (note or "training", against))))

    def add(self, step: int, line: dict[str, float]) -> None:
        """The history's line for a step that has just ended."""
        self._history.append({"step": step, **line})
        told = self._telemetry.step(step)
        self._progress.step(step, line, told)
        self._timing.append({"step": step, **told})

    def close(self) -> None:
        """No more steps."""
        self._history.close()
        self._timing.close()

    def _tokens_at(self, step: int) -> int:
        """Tokens in all steps up to this one."""
        return self._job.train.place_of(step) * self._job.decoder.context
