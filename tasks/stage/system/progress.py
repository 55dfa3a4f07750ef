"""Progress of a long step and the time left: one changing line on a terminal, a line now and then in a log.

At most ten updates a second on a terminal, elsewhere at most one line in `LOG_SECONDS`; the last step is always shown. The time left comes
from the caller, or is extrapolated from the time spent once a tenth of the steps is done; before that it is left out.
"""

from __future__ import annotations

import logging
import sys
import time

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
        left = "" if seconds_left is None else f", {format_duration(seconds_left)} left"
        text = f"{self.label}: {done}/{total}{' ' + note if note else ''}, {format_duration(elapsed)} spent{left}"
        if self.terminal and done < total:
            sys.stdout.write(f"\r\x1b[2K  {text}")
            sys.stdout.flush()
            return
        if self.terminal:
            sys.stdout.write("\r\x1b[2K")
            sys.stdout.flush()
        log(f"  {text}")
