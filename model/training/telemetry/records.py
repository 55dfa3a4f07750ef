"""What rank 0 writes during training: the step log, timings and progress."""

from __future__ import annotations

import torch

from model.training.job import Job
from model.training.telemetry.progress import ProgressWriter
from model.training.telemetry.step_log import JsonLines
from model.training.telemetry.telemetry import Moment, Telemetry


class Records:
    """The open files of one launch. `start`: the step that it continues from; `note`: what the first progress line says."""

    def __init__(self, job: Job, start: int, note: str, device: torch.device) -> None:
        devices = job.resources.parallel.workers if device.type == "cuda" else 0
        path = job.run_directory() / "progress.jsonl"
        self._progress = ProgressWriter(path, steps=job.total_steps, tokens_at=self._tokens_at, devices=devices)
        self._job = job
        self._step_log = JsonLines(job.checkpoints / "history.jsonl", after_step=start)
        self._timingss = JsonLines(job.checkpoints / "timing.jsonl", after_step=start)
        self._telemetry = Telemetry(job, device)
        peak = f"MFU is relative to {self._telemetry.peak_source}" if self._telemetry.peak_source else ""
        chosen = f"micro-batches of {job.micro_batch} x {job.length} tokens" if devices else ""
        self._progress.note(start, "; ".join(filter(None, (note or "training", chosen, peak))))

    def add(self, step: int, line: dict[str, float], ended: Moment, waited: float) -> None:
        """Write the line of a step, with its timings and progress. `waited`: seconds that it waited for rows."""
        self._step_log.append({"step": step, **line})
        timing = self._telemetry.step(step, ended, waited)
        self._progress.step(step, line, timing)
        self._timingss.append({"step": step, **timing})

    def close(self) -> None:
        """Close the files."""
        self._step_log.close()
        self._timingss.close()

    def _tokens_at(self, step: int) -> int:
        """Tokens in all steps up to this one, padding included."""
        return self._job.train.sequences_before(step) * self._job.length
