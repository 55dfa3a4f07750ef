"""Ctrl-C and SIGTERM: the first stops a run at a checkpoint, a second Ctrl-C ends it at once.

Guarantees: the first is raised in the main thread as soon as that runs Python or a query, so stages, workers and records are closed in
order; the second ends the process whatever it is in the middle of, since a thread of its own hears it, and what is left is closed from
outside as after any kill. The process ends with 130 after Ctrl-C and 143 after SIGTERM, as shells expect. A run in the background of a
script, where Ctrl-C is ignored, goes on ignoring it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived."""


@contextmanager
def stoppable() -> Iterator[None]:
    """Make the block end in order when it is asked to. Raises SystemExit then. Only the main thread may enter it."""
    hearing, told = os.pipe()
    os.set_blocking(told, False)
    threading.Thread(target=_listen, args=(hearing,), daemon=True).start()
    fd = signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    if handlers[signal.SIGINT] is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except KeyboardInterrupt as stop:
        raise SystemExit(TERMINATED if isinstance(stop, Terminated) else INTERRUPTED) from None
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(fd)
        os.close(told)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def _listen(hearing: int) -> None:
    """Hear every signal at once, even while the main thread is deep in a library; end the process at the second Ctrl-C."""
    interrupts = 0
    while heard := os.read(hearing, 1):
        interrupts += heard[0] == signal.SIGINT
        if interrupts == 1 and sys.stdout.isatty():
            sys.stdout.write("\r\x1b[2K  stopping; Ctrl-C again ends at once")
            sys.stdout.flush()
        if interrupts == 2:
            os._exit(INTERRUPTED)
    os.close(hearing)
