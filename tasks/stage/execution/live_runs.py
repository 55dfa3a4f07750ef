"""The live runs of a home, in any store, and their logs.

Each run locks a file, which tells a live run from one whose process died. `folio down` holds the home closed while it stops the servers: a
run that starts meanwhile waits until it is open again. A run's log (`folio logs`, `folio status`) has its messages and its stages' output,
with times.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tasks.stage.store.journal import RunRecord
from tasks.stage.store.store import Store
from tasks.stage.system.interrupts import interrupts_recorded
from tasks.stage.system.locks import is_locked, local_lock, shared_lock
from tasks.stage.system.progress import format_duration, log

PROGRESS_SECONDS = 10.0
file_logger = logging.getLogger("folio.file")  # for what the terminal shows in another way
_shown: dict[str, float] = {}
LIVE = "live"
_used: set[Path] = set()


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
    ours, theirs = _handler(path, _is_ours), _handler(path, _is_warning_of_others)
    file_logger.setLevel(logging.DEBUG)
    file_logger.propagate = False
    # folio's records also reach the handlers of the root where they propagate, as in a worker of Prefect, so it has another one.
    handlers = ((logging.getLogger("folio"), ours), (file_logger, ours), (logging.getLogger(), theirs))
    for logger, handler in handlers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger, handler in handlers:
            logger.removeHandler(handler)
        for handler in (ours, theirs):
            handler.close()


def _handler(path: Path, keep: Callable[[logging.LogRecord], bool]) -> logging.Handler:
    handler = logging.FileHandler(path, encoding="utf-8", delay=True)
    formatter = logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    handler.addFilter(keep)
    return handler


def _is_ours(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] == "folio"


def _is_warning_of_others(record: logging.LogRecord) -> bool:
    """Return whether a record is the warning of a library other than Prefect, which tells of the run's own states."""
    return record.levelno >= logging.WARNING and record.name.partition(".")[0] not in ("folio", "prefect")


@dataclass(frozen=True)
class LiveRun:
    """A run that is going on, and the URL of its store."""

    id: str
    store: str


@contextmanager
def home_in_use(home: Path) -> Iterator[None]:
    """Keep the servers of a home up for the block. Waits while `folio down` is under way."""
    if home in _used:
        yield
        return
    with shared_lock(_closed(home), lambda: log("folio down is under way in this home; waiting for it")):
        pass
    with shared_lock(home / LIVE / "use.lock", lambda: None):
        _used.add(home)
        try:
            yield
        finally:
            _used.discard(home)


@contextmanager
def attended(home: Path, record: RunRecord, store: Store) -> Iterator[None]:
    """During the block, handle signals, write the run's log, and make the run visible to this home's commands."""
    with interrupts_recorded(), announced(home, record, store), run_log(home, record.id):
        yield


@contextmanager
def announced(home: Path, record: RunRecord, store: Store) -> Iterator[None]:
    """Make a run visible to this home's commands during the block."""
    path = home / LIVE / record.id
    with home_in_use(home), local_lock(path, lambda: None):
        path.write_text(store.url)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def live_runs(home: Path) -> list[LiveRun]:
    """Return the runs that are going on in a home, oldest first."""
    paths = sorted(path for path in (home / LIVE).glob("*") if path.suffix != ".lock")
    return [LiveRun(path.name, path.read_text()) for path in paths if is_locked(path)]


@contextmanager
def closed_to_runs(home: Path, drained: Callable[[list[LiveRun]], None]) -> Iterator[None]:
    """Keep runs from starting during the block. `drained` gets the live runs, and returns when they have ended, or raises."""
    with local_lock(_closed(home), lambda: None):
        drained(live_runs(home))
        # A run that has only begun to start is not seen yet, but it uses the home.
        with local_lock(home / LIVE / "use.lock", lambda: log("a command is using this home; waiting for it")):
            yield


def _closed(home: Path) -> Path:
    return home / LIVE / "down.lock"
