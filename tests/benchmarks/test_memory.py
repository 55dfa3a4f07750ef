"""A benchmark's figure for memory holds whatever the processes that it watches do."""

from __future__ import annotations

import subprocess
import sys

import psutil

from tests.benchmarks.memory import PeakMemory, resident

BRIEF = "import subprocess; [subprocess.run(['true']) for _ in range(150)]"
LARGE = "held = bytearray(64 * 2**20); held[::4096] = b'x' * len(held[::4096]); print(flush=True); input()"


def test_a_process_that_ended_while_it_was_looked_at_takes_nothing_from_the_others() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        ended = psutil.Process(process.pid)
        me = psutil.Process()
        assert resident([ended, me]) > resident([me]) > 0
        process.kill()
        process.wait()
        assert resident([ended, me]) > 0
        assert resident([ended]) == 0


def test_many_short_processes_leave_the_peak_of_the_one_that_started_them() -> None:
    process = subprocess.Popen([sys.executable, "-c", BRIEF], text=True)
    watched = PeakMemory(process, every_seconds=0)
    assert watched.wait() == 0
    assert watched.bytes > 1e6


def test_the_peak_holds_what_a_process_below_held() -> None:
    outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {LARGE!r}], input='end', text=True, stdout=subprocess.DEVNULL)"
    process = subprocess.Popen([sys.executable, "-c", outer], text=True)
    watched = PeakMemory(process, every_seconds=0)
    assert watched.wait() == 0
    assert watched.bytes > 64 * 2**20
