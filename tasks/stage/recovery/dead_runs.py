"""Close a run whose process died without recording its end: kill its workers, then say `crashed` in the journal.

Closing is idempotent, even by two processes at once. Runs that ended by themselves are left alone.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime

import psutil

from tasks.stage.store.journal import Journal, RunRecord
from tasks.stage.store.origin import now

CRASHED = "its process was killed, or the machine or its disk failed"


def close_dead_run(journal: Journal, record: RunRecord) -> RunRecord:
    """Close a run that is recorded as running and has no process; return its updated record."""
    kill_workers(record)
    ended = now()
    stages = {
        position: stage.model_copy(update={"status": "stopped", "ended": ended, "error": CRASHED}) if stage.status == "executing" else stage
        for position, stage in record.stages.items()
    }
    closed = record.model_copy(update={"status": "crashed", "ended": ended, "error": CRASHED, "stages": stages})
    journal.write(closed)
    journal.release(closed)
    return closed


def process_of(record: RunRecord) -> psutil.Process | None:
    """Return the living process of a run; None if it has ended (even if its number was reused) or is on another machine."""
    if record.host != socket.gethostname():
        return None
    try:
        process = psutil.Process(record.pid)
        began = process.create_time()
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
    except psutil.NoSuchProcess:
        return None
    # A process that began after the run did has only reused its number.
    return process if began <= datetime.fromisoformat(record.started).timestamp() + 1 else None


def kill_workers(record: RunRecord) -> None:
    """Kill the process groups of the bodies and workers that a dead run started; their environment carries the run's process id."""
    if record.host == socket.gethostname() and process_of(record) is None:
        for process in _launched_by(record.pid):
            with suppress(ProcessLookupError):
                os.killpg(os.getpgid(process.pid), signal.SIGKILL)


def _launched_by(pid: int) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get("FOLIO_RUN") == str(pid):
                yield process
