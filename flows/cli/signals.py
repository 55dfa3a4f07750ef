"""Ctrl-C and SIGTERM: the first stops a run at a checkpoint, a second Ctrl-C ends it at once.

The first is raised in the main thread as soon as that runs Python, so stages, workers and records are closed in order. The second is read
by a thread of its own and ends the process whatever it is doing; the follower then closes what is left, as after any kill. The exit code
is 130 after Ctrl-C and 143 after SIGTERM, as shells expect. A run in the background of a script, where Ctrl-C is ignored, keeps ignoring
it.
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
    """Let Ctrl-C and SIGTERM end the block in order, by SystemExit. Only the main thread may enter it."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    threading.Thread(target=_listen, args=(reader,), daemon=True).start()
    # Python writes the number of each signal into this pipe as it arrives; handlers run only when the main thread runs Python.
    fd = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
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
        os.close(writer)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


def _listen(reader: int) -> None:
    """Read every signal at once, even while the main thread is inside a snapshot; end the process at the second Ctrl-C."""
    interrupts = 0
    while received := os.read(reader, 1):
        interrupts += received[0] == signal.SIGINT
        if interrupts == 1 and sys.stdout.isatty():
            sys.stdout.write("\r\x1b[2K  stopping at a checkpoint; Ctrl-C again ends at once")
            sys.stdout.flush()
        if interrupts == 2:
            # sys.exit would wait for threads and for the library that the main thread is in.
            os._exit(INTERRUPTED)
    os.close(reader)
