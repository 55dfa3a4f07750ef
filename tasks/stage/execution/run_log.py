"""The log of a run: what it says and what its stages print, with the time, in a file of its home, for `folio logs` and `folio status`."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.stage.system.progress import format_duration

PROGRESS_SECONDS = 10.0
progress_logger = logging.getLogger("folio.progress")
_shown: dict[str, float] = {}


def log_path(home: Path, run_id: str) -> Path:
    """Return the file of a run's log."""
    return home / "logs" / "runs" / f"{run_id}.log"


def log_progress(label: str, done: int, total: int, note: str, seconds_left: float | None) -> None:
    """Write how far a step is to the run's log, now and then."""
    now = time.monotonic()
    if done < total and now - _shown.get(label, -PROGRESS_SECONDS) < PROGRESS_SECONDS:
        return
    _shown[label] = now
    left = "" if seconds_left is None else f", {format_duration(seconds_left)} left"
    progress_logger.debug("%s: %d/%d%s%s", label, done, total, f" {note}" if note else "", left)


@contextmanager
def run_log(home: Path, run_id: str) -> Iterator[None]:
    """Write to the run's log what is logged in the block: all of folio's, and warnings of libraries."""
    path = log_path(home, run_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    formatter = logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    loggers = {logging.getLogger("folio"): logging.INFO, logging.getLogger(): logging.WARNING}
    handler.addFilter(_belongs)
    progress_logger.setLevel(logging.DEBUG)
    progress_logger.propagate = False
    for logger in (*loggers, progress_logger):
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in (*loggers, progress_logger):
            logger.removeHandler(handler)
        handler.close()


def _belongs(record: logging.LogRecord) -> bool:
    """Return whether a record is folio's, or the warning of a library other than Prefect, which tells of the run's own states."""
    library = record.name.partition(".")[0]
    return library == "folio" or (library != "prefect" and record.levelno >= logging.WARNING)
