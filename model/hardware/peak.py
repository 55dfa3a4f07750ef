"""Measure the device's rate of matrix products, the reference for MFU where no data sheet is known; and a process's memory.

The peak is the best of square products of growing size, with the threads that this process computes with. It is measured once per process
and precision, in a fifth of a second. On a CPU it is what these threads do in their own processor time, so other work on the machine does
not lower it; that takes products large enough to keep all of them at work."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil
import torch

from model.hardware.devices import device_of_driver, find_device

FIRST, LARGEST = {"cpu": 1024}, {"cpu": 2048, "cuda": 8192}
SMALLEST = 256
SPENT, REPEATS = 0.1, 4
"""Seconds of products after which no larger ones are tried, and how many of each size are timed."""


@dataclass(frozen=True)
class Peak:
    """Operations per second of one device at one precision, and the source of that number."""

    flops: float
    source: str


def peak_of(device: torch.device, precision: str, named: str = "auto") -> Peak:
    """Return the peak that MFU is relative to.

    `named`: auto (the data sheet's if the card is listed, else measured), measured, or a device's name in model/hardware/devices.py.
    Raise ValueError for an unknown name, or a precision that the device does not support.
    """
    if named not in ("auto", "measured"):
        known = find_device(named)
        return Peak(known.peak(precision), f"{known.name} {precision}, {known.source}")
    if named == "auto" and device.type == "cuda":
        listed = device_of_driver(torch.cuda.get_device_name(device))
        if listed is not None:
            return Peak(listed.peak(precision), f"{listed.name} {precision}, {listed.source}")
    flops, size = measured_peak(device.type, device.index or 0, precision)
    return Peak(flops, f"{precision} products of {size} x {size} measured at the start")


@cache
def measured_peak(kind: str, index: int, precision: str) -> tuple[float, int]:
    """Return (operations per second, size of the product measured). bf16 and fp16 are multiplied as such, all else as fp32."""
    device = torch.device(kind, index)
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
    size = FIRST.get(kind, SMALLEST)
    spent, best = 0.0, (0.0, size)
    # A busy machine may stall at one size, so the best of all sizes counts.
    while spent < SPENT and size <= LARGEST.get(kind, max(LARGEST.values())):
        left, right = (torch.ones(size, size, dtype=dtype, device=device) for _ in range(2))
        _timed(left, right)
        times = [_timed(left, right) for _ in range(REPEATS)]
        best = max(best, (2 * size**3 / min(times), size))
        spent, size = spent + sum(times), 2 * size
    return best


def _timed(left: torch.Tensor, right: torch.Tensor) -> float:
    """Return the seconds of a product: on a CPU the processor time of each of its threads, elsewhere the time that passes."""
    if left.device.type == "cpu":
        used = time.process_time()
        torch.mm(left, right)
        return (time.process_time() - used) / torch.get_num_threads()
    cuda = left.device.type == "cuda"
    if cuda:
        torch.cuda.synchronize(left.device)
    began = time.perf_counter()
    torch.mm(left, right)
    if cuda:
        torch.cuda.synchronize(left.device)
    return time.perf_counter() - began


STATUS = Path("/proc/self/status")


def resident_bytes(*, peak: bool = False) -> int:
    """Return this process's resident memory in bytes; `peak`: its maximum so far, where the system records it (Linux)."""
    if peak and STATUS.exists():
        # VmHWM starts at exec; getrusage's ru_maxrss would include the process that forked this one.
        line = next(line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return int(psutil.Process().memory_info().rss)
