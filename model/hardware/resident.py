"""The memory of this process, as the operating system counts it."""

from __future__ import annotations

from pathlib import Path

import psutil

STATUS = Path("/proc/self/status")


def resident_bytes(*, peak: bool = False) -> int:
    """Return this process's resident memory in bytes; `peak`: its maximum so far, where the system records it (Linux)."""
    if peak and STATUS.exists():
        # VmHWM starts at exec; getrusage's ru_maxrss would include the process that forked this one.
        line = next(line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return int(psutil.Process().memory_info().rss)
