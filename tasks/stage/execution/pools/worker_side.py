"""Run a job's file on a worker of another work pool, as the run itself would, with the same lock and store."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path
from typing import Any

from tasks.stage.execution.bodies.body_errors import describe
from tasks.stage.execution.execute import run_job
from tasks.stage.execution.job import BufferedReporter
from tasks.stage.execution.pools.run_side import EVENTS, JOB, RESULT, JobFile, Result
from tasks.stage.system.atomic_files import write_atomically
from tasks.stage.system.interrupts import interrupts_recorded


def work_on(folder: Path) -> None:
    """Run the job in a folder and write its outcome there. Raises what the job raises."""
    events = _Events(folder / EVENTS)
    logger = logging.getLogger("folio")
    logger.addHandler(events)
    try:
        with interrupts_recorded():
            outcome = run_job(JobFile.model_validate_json((folder / JOB).read_bytes()).job(_EventReporter(events)))
        result = Result(artifact=outcome.artifact, executed=outcome.executed)
    except Exception as error:
        _write(folder, Result(error=describe(error)))
        raise
    except BaseException as error:
        _write(folder, Result(notes=tuple(str(note) for note in getattr(error, "__notes__", ()))))
        raise
    finally:
        logger.removeHandler(events)
    _write(folder, result)


def _write(folder: Path, result: Result) -> None:
    # The run deletes the folder when it stops waiting.
    if folder.is_dir():
        write_atomically(folder / RESULT, result.model_dump_json().encode())


class _Events(logging.Handler):
    """Appends what the run shall know to a file, line by line."""

    def __init__(self, path: Path) -> None:
        super().__init__(logging.INFO)
        self._path, self._writing = path, threading.Lock()

    def put(self, event: dict[str, Any]) -> None:
        """Append an event."""
        with self._writing, self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(event) + "\n")

    def emit(self, record: logging.LogRecord) -> None:
        """Append a log line."""
        self.put({"kind": "log", "text": record.getMessage()})


class _EventReporter(BufferedReporter):
    """Hands metric rows to the run at once."""

    def __init__(self, events: _Events) -> None:
        super().__init__()
        self._events = events

    def series(self, rows: list[tuple[str, float, int]]) -> None:
        """Append rows to the events."""
        self._events.put({"kind": "series", "rows": rows})
