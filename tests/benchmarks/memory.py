"""Peak memory of a process and of all below it, looked at again and again from outside."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterable

import psutil


class PeakMemory:
    """Watches a process until it ends. Call `wait` for its end, then read `bytes`."""

    def __init__(self, process: subprocess.Popen[str], every_seconds: float = 0.05) -> None:
        self.bytes = 0
        self._process, self._every_seconds = process, every_seconds
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def wait(self) -> int:
        """Wait for the process and return its exit code."""
        code = self._process.wait()
        self._watcher.join()
        return code

    def _watch(self) -> None:
        while self._process.poll() is None:
            try:
                parent = psutil.Process(self._process.pid)
                family = [parent, *parent.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            self.bytes = max(self.bytes, resident(family))
            time.sleep(self._every_seconds)


def resident(processes: Iterable[psutil.Process]) -> int:
    """Return the resident memory of processes together, in bytes; one that has ended meanwhile has none."""
    total = 0
    for process in processes:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total
