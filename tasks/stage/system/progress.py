"""Progress of a long step and the time left: a bar or one changing line on a terminal, a line now and then in a log.

At most ten updates a second on a terminal, elsewhere at most one line in `LOG_SECONDS`; the last step is always shown. The time left comes
from the caller, or is extrapolated from the time spent once a tenth of the steps is done; before that it is left out.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Protocol, TextIO

LOG_SECONDS = 10.0
GUESS_FROM = 0.1  # share of the steps; any earlier, start-up time would be extrapolated
logger = logging.getLogger("folio")


def log(text: str) -> None:
    """Write one line to the terminal and to the log that Prefect keeps."""
    logger.info(text)


def format_duration(seconds: float) -> str:
    """Format seconds as `1:15`, or `2:02:05` from one hour on."""
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


class Display(Protocol):
    """Draws progress on a terminal and prints lines above it."""

    def show(self, label: str, done: int, total: int, note: str, seconds_left: float | None) -> None:
        """Draw how far a step is."""

    def stage_done(self, position: str) -> None:
        """Count a stage of the run."""

    def write(self, line: str) -> None:
        """Print a line."""

    def hidden(self) -> AbstractContextManager[None]:
        """Draw nothing during the block."""


_displays: list[Display] = []


@contextmanager
def shown_on(display: Display) -> Iterator[None]:
    """Show this process's progress and log on a display during the block."""
    _displays.append(display)
    try:
        yield
    finally:
        _displays.remove(display)


@contextmanager
def undrawn() -> Iterator[None]:
    """Leave the terminal to the block, which asks a person something."""
    with ExitStack() as hidden:
        for display in _displays[-1:]:
            hidden.enter_context(display.hidden())
        yield


def announce(text: str) -> None:
    """Print a line at once, from any thread, without disturbing progress bars."""
    for display in _displays[-1:]:
        display.write(text)
        return
    os.write(1, f"\r\x1b[2K  {text}".encode())


def stage_done(position: str) -> None:
    """Count a stage of the run, reused or made, where a display counts them."""
    for display in _displays[-1:]:
        display.stage_done(position)


class TerminalHandler(logging.StreamHandler[TextIO]):
    """Prints folio's own log lines without decoration: beside the bars if there are any, else in place of a line of progress."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        if _displays:
            _displays[-1].write(record.getMessage())
            return
        super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        """Return the message, which erases a line of progress on a terminal."""
        return f"\r\x1b[2K{record.getMessage()}" if self.stream.isatty() else record.getMessage()


def show_on_terminal() -> None:
    """Print folio's own log lines on standard output, without decoration."""
    # A handler that can't write, such as Prefect's while its server is away, must not fill the terminal with tracebacks.
    logging.raiseExceptions = False
    logger = logging.getLogger("folio")
    if not any(getattr(handler, "stream", None) is sys.stdout for handler in logger.handlers):
        logger.addHandler(TerminalHandler(sys.stdout))
    logger.propagate = False


class ProgressMeter:
    """Shows progress under a label: in the last line of a terminal if this process may use one, else as log lines."""

    def __init__(self, label: str, *, on_terminal: bool = True) -> None:
        self.label = label
        self.terminal = on_terminal and sys.stdout.isatty()
        self.started = time.monotonic()
        self.shown = 0.0

    def show(self, done: int, total: int, note: str = "", seconds_left: float | None = None) -> None:
        """Report `done` of `total` steps, with a short note such as the loss."""
        now = time.monotonic()
        if done < total and now - self.shown < (0.1 if self.terminal else LOG_SECONDS):
            return
        self.shown = now
        elapsed = now - self.started
        if seconds_left is None and done >= total * GUESS_FROM:
            seconds_left = elapsed / done * (total - done)
        for display in _displays[-1:] if self.terminal else ():
            display.show(self.label, done, total, note, seconds_left)
        left = "" if seconds_left is None else f", {format_duration(seconds_left)} left"
        text = f"{self.label}: {done}/{total}{' ' + note if note else ''}, {format_duration(elapsed)} spent{left}"
        if self.terminal and done < total:
            if not _displays:
                sys.stdout.write(f"\r\x1b[2K  {text}")
                sys.stdout.flush()
            return
        if self.terminal and not _displays:
            sys.stdout.write("\r\x1b[2K")
            sys.stdout.flush()
        log(f"  {text}")
