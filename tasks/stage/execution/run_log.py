"""The log of a run: its messages and its stages' output, with times, in a file of its home, for `folio logs` and `folio status`."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tasks.stage.system.progress import format_duration

PROGRESS_SECONDS = 10.0
file_logger = logging.getLogger("folio.file")  # for what the terminal shows in another way
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
    file_logger.debug("%s: %d/%d%s%s", label, done, total, f" {note}" if note else "", left)


def copy_output(stream: int, label: str) -> tuple[int, threading.Thread | None]:
    """Return a descriptor to print to instead of `stream`: it goes there and, under a label, to the run's log; and the thread that copies.

    Without a log it is the stream itself.
    """
    if not file_logger.handlers:
        return os.dup(stream), None
    reader, writer = os.pipe()
    thread = threading.Thread(target=_copy, args=(reader, stream, label), daemon=True, name="folio-output")
    thread.start()
    return writer, thread


def _copy(reader: int, stream: int, label: str) -> None:
    with os.fdopen(reader, "rb", buffering=0) as source:
        begun = b""
        while printed := source.read(1 << 16):
            *lines, begun = (begun + printed).split(b"\n")
            with suppress(OSError):  # nobody reads it any more
                while printed:
                    printed = printed[os.write(stream, printed) :]
            for line in lines:
                file_logger.debug("%s: %s", label, line.decode(errors="replace"))
        if begun:
            file_logger.debug("%s: %s", label, begun.decode(errors="replace"))


@contextmanager
def run_log(home: Path, run_id: str) -> Iterator[None]:
    """Write log records of the block to the run's log: all of folio's, and libraries' warnings."""
    path = log_path(home, run_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    formatter = logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    loggers = {logging.getLogger("folio"): logging.INFO, logging.getLogger(): logging.WARNING}
    handler.addFilter(_belongs)
    file_logger.setLevel(logging.DEBUG)
    file_logger.propagate = False
    for logger in (*loggers, file_logger):
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in (*loggers, file_logger):
            logger.removeHandler(handler)
        handler.close()


def _belongs(record: logging.LogRecord) -> bool:
    """Return whether a record is folio's, or the warning of a library other than Prefect, which tells of the run's own states."""
    library = record.name.partition(".")[0]
    return library == "folio" or (library != "prefect" and record.levelno >= logging.WARNING)
