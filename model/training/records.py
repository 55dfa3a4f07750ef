"""What the leading worker writes as it goes: history, times, progress."""

from __future__ import annotations

import time

from model.training.history import JsonLines
from model.training.job import Job
from model.training.progress import ProgressWriter


class Records:
    """The open files of one launch."""

    def __init__(self, job: Job, start: int, note: str, devices: int) -> None:
        tokens = job.train.global_batch * job.decoder.context
        path = job.run_directory() / "progress.jsonl"
        self._progress = ProgressWriter(path, start=start, steps=job.total_steps, tokens_a_step=tokens, devices=devices)
        self._history = JsonLines(job.checkpoints / "history.jsonl", after_step=start)
        self._timing = JsonLines(job.checkpoints / "timing.jsonl", after_step=start)
        self._began = time.perf_counter()
        self._progress.note(start, note or "training")

    def add(self, step: int, line: dict[str, float]) -> None:
        now = time.perf_counter()
        self._history.append({"step": step, **line})
        speed = self._progress.step(step, line["learning_rate"], line)
        self._timing.append({"step": step, "seconds": round(now - self._began, 4), "tokens_per_second": round(speed, 1)})
        self._began = now

    def close(self) -> None:
        self._history.close()
        self._timing.close()
