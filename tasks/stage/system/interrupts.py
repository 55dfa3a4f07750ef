"""Remember an interrupt that Python loses.

A signal handler runs between two instructions of the main thread, wherever that is. In a finalizer or a callback of the garbage collector,
Python prints the exception of the handler and goes on. So the signal is recorded before its handler runs, and a run checks for it before
it starts anything new.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType

_received: Callable[[], object] | None = None


@contextmanager
def interrupts_recorded() -> Iterator[None]:
    """Record SIGINT and SIGTERM in the block. Does nothing outside the main thread, which receives all signals, or if they are ignored."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    global _received
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in before.items():
        if callable(handler):
            signal.signal(number, partial(_record, handler))
    try:
        yield
    finally:
        _received = None
        for number, handler in before.items():
            if callable(handler):
                signal.signal(number, handler)


def raise_if_interrupted() -> None:
    """Run the handler of a recorded signal again, which raises what it raised before: KeyboardInterrupt for Ctrl-C."""
    if _received is not None:
        _received()


def was_interrupted() -> bool:
    """Return whether a signal has arrived in the block."""
    return _received is not None


def record_interrupt() -> None:
    """Record an interrupt that arrived in another process of the run; `raise_if_interrupted` will raise KeyboardInterrupt."""
    global _received
    _received = partial(signal.default_int_handler, signal.SIGINT, None)


def _record(handler: Callable[[int, FrameType | None], object], number: int, frame: FrameType | None) -> None:
    global _received
    _received = partial(handler, number, None)
    handler(number, frame)
