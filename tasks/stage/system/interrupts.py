"""Signals that ask a process to stop: Ctrl-C, SIGTERM and a hang-up. None is lost, wherever Python is when it arrives.

The first one raises `Interrupted` in the main thread; while that propagates, later ones raise nothing, so orderly shutdown is not
disturbed. Python drops an error raised in a finalizer, and a library may catch one and continue. So a thread reads each signal on arrival,
even if a library has replaced the handler, and sends it again if the error disappears while the block continues; and a run calls
`raise_if_interrupted` before it starts anything new. A signal that is ignored stays so: Ctrl-C in the background of a script, SIGHUP under
nohup. Processes that shall outlive a signal to the run (`start_detached`) get a session of their own.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AGAIN_SECONDS = 1.0
Handler = Callable[[int, FrameType | None], object]
ROOT = Path(__file__).resolve().parents[3]
RUN = "FOLIO_RUN"
"""Variable of bodies and workers: the identity of the process that they are to end with."""


class Interrupted(KeyboardInterrupt):
    """A signal asked this process to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Stops:
    """The signals of a block. `number`: the first that arrived, 0 if none has."""

    def __init__(self, heard: Callable[[int, int], None]) -> None:
        self.number = 0
        self._heard, self._main = heard, threading.get_ident()
        self._error: Callable[[], object] | None = None
        self._closing = False
        self._sent_again: list[int] = []
        self._counts: dict[int, int] = dict.fromkeys(STOPPING, 0)
        self._reading = threading.Lock()
        self._reader, self._writer = os.pipe()
        for end in (self._reader, self._writer):
            os.set_blocking(end, False)
        # Python writes the number of each signal into this pipe as it arrives; handlers run only when the main thread runs Python.
        self._wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        threading.Thread(target=self._listen, daemon=True, name="folio-signals").start()
        self._unraisable, sys.unraisablehook = sys.unraisablehook, self._dropped
        self._handlers: dict[int, Any] = {}
        for number in STOPPING:
            # The handler of whoever runs this process, such as Prefect's worker, stays.
            if (handler := signal.getsignal(number)) in (signal.SIG_DFL, signal.default_int_handler):
                self._handlers[number] = handler
                signal.signal(number, partial(self._handle, None))

    def catch(self) -> None:
        """Handle the signals that a library, such as Prefect in a flow, has taken over; its handler is called by ours."""
        for number in self._handlers:
            handler = signal.getsignal(number)
            if callable(handler) and not (isinstance(handler, partial) and handler.func == self._handle):
                signal.signal(number, partial(self._handle, handler))

    def close(self) -> None:
        """Raise nothing from here on: the signal is already being acted on."""
        self._closing = True

    def ignore(self) -> None:
        """Ignore the signals until the process ends."""
        self.close()
        self._handlers.clear()
        for number in STOPPING:
            signal.signal(number, signal.SIG_IGN)

    def end(self) -> None:
        """Put everything back."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._writer)
        sys.unraisablehook = self._unraisable

    def again(self) -> None:
        """Raise the error of a signal that has arrived, unless it is on its way already."""
        if self.number:
            self._handle(None, self.number, None)

    def record(self, number: int) -> None:
        """Record that a signal has arrived."""
        self.number = self.number or number

    def _handle(self, foreign: Handler | None, number: int, frame: FrameType | None) -> None:
        self.record(number)
        if self._closing or (self._error is not None and self._error() is not None):
            return
        try:
            if foreign is None:
                raise Interrupted(number)
            foreign(number, frame)
        except BaseException as error:
            try:
                self._error = weakref.ref(error)
            except TypeError:  # an error of C code can't be followed; the run's own questions find the signal
                self._error = lambda: True
            raise

    def hear(self) -> bool:
        """Take note of the signals that have arrived, and return whether more may follow."""
        with self._reading:
            try:
                received = os.read(self._reader, 64)
            except BlockingIOError:
                return True
            for number in received:
                if number in self._sent_again:
                    self._sent_again.remove(number)
                elif number in self._counts and signal.getsignal(number) is not signal.SIG_IGN:
                    self._counts[number] += 1
                    self.record(number)
                    self._heard(number, self._counts[number])
        return bool(received)

    def _listen(self) -> None:
        while True:
            going_on = self.number and not self._closing
            if select.select([self._reader], [], [], AGAIN_SECONDS if going_on else None)[0]:
                if not self.hear():
                    os.close(self._reader)
                    return
            elif self._error is not None and self._error() is None and not self._closing:
                self._sent_again.append(self.number)
                signal.pthread_kill(self._main, self.number)

    def _dropped(self, dropped: Any) -> None:
        """Stay silent about our own error in a finalizer, since it will be raised again."""
        if not isinstance(dropped.exc_value, Interrupted):
            self._unraisable(dropped)


_stops: Stops | None = None


@contextmanager
def interrupts_recorded(heard: Callable[[int, int], None] = lambda number, count: None) -> Iterator[Stops | None]:
    """Raise `Interrupted` in the block when a signal asks to stop. Yields None outside the main thread, which receives all signals.

    `heard` is called at once, in another thread, with a signal's number and how often it has come. Blocks may be nested: when the inner one
    is left after a signal, that has been heeded, and nothing is raised again.
    """
    global _stops
    if threading.current_thread() is not threading.main_thread():
        yield None
        return
    if _stops is not None:
        _stops.catch()
        try:
            yield _stops
        finally:
            if _stops.number:
                _stops.close()
        return
    _stops = Stops(heard)
    try:
        yield _stops
    finally:
        _stops.end()
        _stops = None


def raise_if_interrupted() -> None:
    """Raise the error of a signal that has arrived in the block, if Python or a library has lost it."""
    if _stops is not None:
        _stops.again()


def was_interrupted() -> bool:
    """Return whether a signal has arrived in the block."""
    return _stops is not None and _stops.number != 0


def record_interrupt() -> None:
    """Record an interrupt that arrived in another process of the run; `raise_if_interrupted` will raise it."""
    if _stops is not None:
        _stops.record(signal.SIGINT)


@contextmanager
def interrupts_kept_away() -> Iterator[None]:
    """Keep Ctrl-C and SIGHUP from threads started in the block and their child processes: they are for the run alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGHUP))
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _forget_in_child() -> None:
    """A forked process must not write its signals into the pipe of its parent."""
    global _stops
    if _stops is not None:
        _stops = None
        with suppress(ValueError):
            signal.set_wakeup_fd(-1)


os.register_at_fork(after_in_child=_forget_in_child)


def start_detached(command: list[str], *, stdin: int, stdout: int, stderr: int | None) -> subprocess.Popen[bytes]:
    """Start a command that can import this repository, in a session of its own; streams as in `subprocess.Popen`."""
    environment = {**without_run(os.environ), "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}
    return subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, env=environment, start_new_session=True)


def without_run(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for a process that is no worker of a run, even if it is started within one."""
    return {name: value for name, value in environment.items() if name != RUN}
