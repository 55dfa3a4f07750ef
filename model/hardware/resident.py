"""What a process holds in memory, as the operating system counts it."""

from __future__ import annotations

from pathlib import Path

import psutil

STATUS = Path("/proc/self/status")


def resident_bytes(*, peak: bool = False) -> int:
    """This process's resident memory, or the most that it ever was where the system tells (Linux), else what it is now; bytes.

    The kernel's VmHWM belongs to the program that runs; getrusage's ru_maxrss would also remember what started it.
    """
    if peak and STATUS.exists():
        line = next(line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return int(psutil.Process().memory_info().rss)
