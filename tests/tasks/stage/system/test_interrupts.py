"""A signal that asks to stop is heeded although Python, a library or a C function gets it first; and only one at a time is raised."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
PROGRAM = """
import os, queue, signal, sys, time
from flows.cli.signals import stoppable

def arrived():
    os.kill(os.getpid(), {number})
    time.sleep(0.2)

class Finalizer:
    def __del__(self):
        arrived()

def finalizer():
    thing = Finalizer()
    del thing

def library():
    try:
        arrived()
    except BaseException:
        pass

def other_handler():
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(3))
    arrived()

def closing_in_order():
    try:
        arrived()
    finally:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.1)
        print("closed")

def forked_child():
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))
        os.kill(os.getpid(), {number})
        os._exit(0)
    os.wait()
    time.sleep(1.5)
    print("went on")
    sys.exit(7)

with stoppable(last=True):
    {where}()
    queue.SimpleQueue().get(timeout=30)
print("the signal was lost")
"""


def ended(where: str, number: int) -> tuple[int, str, str]:
    """Return how the program ended after a signal that it sent itself: exit code, output, complaints."""
    program = [sys.executable, "-c", PROGRAM.format(where=where, number=number)]
    done = subprocess.run(program, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("where", ["finalizer", "library"])
def test_a_signal_whose_error_is_dropped_is_raised_again(where: str, number: int) -> None:
    assert ended(where, number) == (128 + number, "", "")


def test_the_exit_code_is_the_signal_s_whatever_handler_a_library_has_set() -> None:
    assert ended("other_handler", signal.SIGTERM) == (143, "", "")


def test_signals_that_follow_do_not_disturb_what_the_first_has_begun_to_close() -> None:
    assert ended("closing_in_order", signal.SIGHUP) == (129, "closed\n", "")


def test_a_signal_of_a_forked_process_is_not_taken_for_our_own() -> None:
    assert ended("forked_child", signal.SIGTERM) == (7, "went on\n", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_after_the_run_ends_the_process_with_that_signal_s_code(number: int) -> None:
    program = (
        f"from flows.cli.signals import stoppable\nimport os\nwith stoppable(last=True):\n    pass\nos.kill(os.getpid(), {int(number)})\n"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, timeout=60, check=False).returncode == 128 + number
