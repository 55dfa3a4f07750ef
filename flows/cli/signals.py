"""Handle Ctrl-C, SIGTERM and SIGHUP: the first stops a run at a checkpoint, a second Ctrl-C ends it at once.

The first is raised in the main thread once it runs Python, so stages, workers and records are closed in order. A second Ctrl-C is
handled by a separate thread and ends the process at once; the follower closes what is left, as after any kill. The exit code
is 130 after Ctrl-C, 143 after SIGTERM and 129 after a hang-up, as shells expect.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

from tasks.stage.system.explanations import explain
from tasks.stage.system.interrupts import STOPPING, interrupts_recorded
from tasks.stage.system.progress import announce

INTERRUPTED = 128 + signal.SIGINT
TERMINAL = (0, 1, 2)


@contextmanager
def stoppable(*, last: bool = False) -> Iterator[None]:
    """Turn the signals into SystemExit inside the block. Only the main thread may enter it; a nested one does nothing.

    `last`: nothing but process exit follows the block, and a signal may cut that short.
    """
    try:
        with _stoppable():
            yield
    except SystemExit as end:
        if isinstance(end.code, int) and end.code > 128:
            _cut_short(end.code)
        raise
    if last:
        _cut_short()


def _cut_short(code: int = 0) -> None:
    """Let further signals end the process without a word: libraries are only tidying up. `code`: how it exits; 0: as the signal asks."""
    for number in STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, frame: os._exit(code or 128 + number))


@contextmanager
def _stoppable() -> Iterator[None]:
    terminals = [stream for stream in TERMINAL if os.isatty(stream)]
    with interrupts_recorded(partial(_heard, terminals)) as stops:
        if stops is None:
            raise RuntimeError("only the main thread can be stopped by signals")
        try:
            yield
        except KeyboardInterrupt:
            raise SystemExit(128 + (stops.number or signal.SIGINT)) from None
        except BaseException as error:
            stops.hear()
            if not stops.number:
                raise
            if isinstance(error, Exception):
                print(f"folio: {explain(error)}", file=sys.stderr, flush=True)
            raise SystemExit(128 + stops.number) from None
        stops.hear()
        if stops.number:
            # Too late to stop anything; exit with the signal's code anyway.
            raise SystemExit(128 + stops.number)


def _heard(terminals: list[int], number: int, count: int) -> None:
    """Acknowledge a signal at once, even while the main thread is inside a library."""
    if number == signal.SIGHUP:
        _leave(terminals)
    if number != signal.SIGINT:
        return
    on_terminal = sys.stdout.isatty()
    with suppress(OSError):
        if count == 1 and on_terminal:
            announce("stopping at a checkpoint; Ctrl-C again ends at once")
        if count == 2 and on_terminal:
            os.write(1, b"\r\x1b[2K  ended at once; run the same command again to continue\n")
    if count == 2:
        # sys.exit would wait for threads and for the library call of the main thread.
        os._exit(INTERRUPTED)


def _leave(terminals: list[int]) -> None:
    """Redirect output to /dev/null once the terminal is gone, where each write would fail."""
    for stream in terminals:
        if not os.isatty(stream):
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.dup2(nowhere, stream)
            os.close(nowhere)
