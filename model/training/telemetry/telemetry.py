"""What a step took: its time, how much of it waiting for data, speed, MFU and memory. Of the clock and the machine, so no part of history.

MFU (model FLOPs utilization, Chowdhery et al. 2022) is told against a named peak where the accelerator is listed, else against one that
is measured at the start (`model/planning/peak.py`); the progress says which. It counts the whole step, validation and checkpoints too.
"""

from __future__ import annotations

import time
from types import TracebackType

import torch

from model.planning.flops import utilization
from model.planning.peak import peak_of
from model.planning.resident import resident_bytes
from model.training.job import Job


class Waiting:
    """Seconds that this worker spent inside of `with`, until they are taken."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._seconds += time.perf_counter() - self._began

    def take(self) -> float:
        """What was waited since this was last asked; seconds."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds


class Telemetry:
    """The leading worker's instruments. `device`: its own; memory is this worker's, speed and MFU are of all workers together."""

    def __init__(self, job: Job, device: torch.device, waiting: Waiting) -> None:
        self._job, self._device, self._waiting = job, device, waiting
        # A preference pair is two sequences read by two models: another count of operations, which nobody compares.
        self._counts = job.train.objective != "dpo"
        peak = peak_of(device, job.train.precision, job.resources.mfu_peak) if self._counts else None
        self._peak = peak.flops * job.resources.parallel.workers if peak else 0.0
        self.against = peak.source if peak else ""
        self._since = time.perf_counter()

    def step(self, step: int) -> dict[str, float]:
        """What the step that ends now took; `step` counts from 1."""
        now = time.perf_counter()
        seconds, self._since = now - self._since, now
        job, waited = self._job, self._waiting.take()
        speed = job.train.batch_at(step - 1) * job.decoder.context / seconds
        told = {"seconds": round(seconds, 4), "data_seconds": round(waited, 5), "tokens_per_second": round(speed, 1)}
        told["memory_bytes"] = float(self._memory())
        if self._counts:
            told["mfu"] = round(utilization(job.decoder, job.vocab_size, speed, self._peak), 5)
        return told

    def _memory(self) -> int:
        """Most that this worker held until now: on an accelerator what torch gave out there, else its resident memory; bytes."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        return resident_bytes(peak=True)
