"""Measure a step: time, waiting for data, speed, MFU and memory. It depends on the machine, so it is not part of the step log.

MFU (model FLOPs utilization, Chowdhery et al. 2022) is relative to the data sheet's peak if the accelerator is listed, else to one measured
at the start (`model/hardware/peak.py`); the first progress line says which. It covers the whole step, with validation and checkpoints.
"""

from __future__ import annotations

import time
from types import TracebackType

import torch

from model.hardware.flops import training_flops, utilization
from model.hardware.peak import peak_of
from model.training.job import Job
from model.training.telemetry.sizes import peak_memory


class WaitTimer:
    """Adds up the seconds that this worker spends inside `with`."""

    def __init__(self) -> None:
        self._seconds = 0.0

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._seconds += time.perf_counter() - self._began

    def take(self) -> float:
        """Return the seconds since the last call, and start from zero."""
        seconds, self._seconds = self._seconds, 0.0
        return seconds


class Moment:
    """When the device was done with everything that it had been given so far; on a CPU, now."""

    def __init__(self, device: torch.device) -> None:
        self._event = torch.cuda.Event(enable_timing=True) if device.type == "cuda" else None  # type: ignore[no-untyped-call]
        self._time = time.perf_counter()
        if self._event:
            self._event.record(torch.cuda.current_stream(device))

    def seconds_since(self, earlier: Moment) -> float:
        """Return the seconds since an earlier moment. Waits until the device has reached this one."""
        if self._event is None or earlier._event is None:
            return self._time - earlier._time
        self._event.synchronize()
        milliseconds: float = earlier._event.elapsed_time(self._event)
        return milliseconds / 1000


class Telemetry:
    """Measures each step on rank 0: memory is that of its process and `device`; speed and MFU are those of all workers together."""

    def __init__(self, job: Job, device: torch.device) -> None:
        self._job, self._device = job, device
        # With frozen weights the usual count, which includes their gradients, would be too high.
        self._has_mfu = job.train.COUNTS_OPERATIONS and not job.train.adapter.KEEPS_BASE
        products: str = job.train.precision.kind
        if job.resources.tf32 and products == "fp32":
            products = "tf32"
        peak = peak_of(device, products, job.resources.mfu_peak) if self._has_mfu else None
        if peak:
            training_flops(job.counted_network, job.vocab_size)  # counted now, outside the first step's time
        self._peak = peak.flops * job.resources.parallel.workers if peak else 0.0
        self.peak_source = peak.source if peak else ""
        self._since = Moment(device)

    def step(self, step: int, ended: Moment, waited: float) -> dict[str, float]:
        """Return what a step cost; `step` counts from 1. `waited`: seconds that it waited for rows."""
        seconds, self._since, job = ended.seconds_since(self._since), ended, self._job
        speed = job.train.batch_at(step - 1) * job.length / seconds
        timing = {"seconds": round(seconds, 4), "data_seconds": round(waited, 5), "tokens_per_second": round(speed, 1)}
        timing["memory_bytes"] = float(peak_memory(self._device))
        if self._has_mfu:
            timing["mfu"] = round(utilization(job.counted_network, job.vocab_size, speed, self._peak), 5)
        return timing
