"""Close a run whose process died without recording its end: kill its workers, then say `crashed` in the journal.

Closing is idempotent, even by two processes at once. Runs that ended by themselves are left alone. A run is dead when nobody holds its
lock; its process is judged only where it can be (`ProcessIdentity`), and nothing is killed for a number that a record and a process share.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psutil

from tasks.stage.store.journal import Journal, RunRecord
from tasks.stage.store.origin import now
from tasks.stage.system.interrupts import RUN
from tasks.stage.system.process_identity import ProcessIdentity

CRASHED = "its process was killed, or the machine or its disk failed"
EXIT_SECONDS = 1.0  # a process that is killed drops its locks a moment before it is gone


@dataclass(frozen=True)
class Servers:
    """MLflow's database and Prefect's API, as URLs, or "" for one that is not told. `home`: folio's home, for files that MLflow keeps."""

    mlflow: str
    prefect: str
    home: Path

    def of(self, record: RunRecord) -> list[str]:
        """Return those that are told of a run."""
        return [url for url, told in ((self.mlflow, True), (self.prefect, bool(record.flow_run_id))) if url and told]

    def lock_of(self, run_id: str) -> Path:
        """Return the lock of whoever tells these servers of a run."""
        return self.home / "cache" / "settling" / f"{run_id}.lock"

    def to_json(self) -> str:
        """Return one line for another process."""
        return json.dumps({"mlflow": self.mlflow, "prefect": self.prefect, "home": str(self.home)})

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Read what `to_json` has written."""
        given = json.loads(line)
        return cls(given["mlflow"], given["prefect"], Path(given["home"]))


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


def is_gone(journal: Journal, record: RunRecord) -> bool:
    """Return whether the process of a run is gone: its lock is free, or it is seen to have ended before a lease has expired."""
    return not journal.alive(record) or (record.identity is not None and record.identity.has_ended())


def process_of(record: RunRecord) -> psutil.Process | None:
    """Return the living process of a run; None if it has ended, even if its number was reused, or can't be judged from here."""
    return record.identity.process() if record.identity is not None else None


def kill_workers(record: RunRecord) -> None:
    """Kill the process groups of the bodies and workers that a dead run started; their environment carries its process's identity.

    Kills nothing if the run's process lives, or can't be judged from here: of its processes none can be seen either.
    """
    dead = record.identity
    if dead is None or not _ends(dead):
        return
    spared, groups = _kin(dead)
    for process in _launched_by(dead):
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            group = os.getpgid(process.pid)
            if process.pid in spared or group in groups:
                continue
            # Group 0 is one whose leader is in another namespace; killpg would take it for this process's own.
            if group == 0:
                process.kill()
            else:
                os.killpg(group, signal.SIGKILL)


def _ends(process: ProcessIdentity) -> bool:
    deadline = time.monotonic() + EXIT_SECONDS
    while process.is_alive() and not process.is_this_process() and time.monotonic() < deadline:
        time.sleep(0.01)
    return process.has_ended()


def _kin(dead: ProcessIdentity) -> tuple[set[int], set[int]]:
    """Return the processes and process groups that are spared: this process, its ancestors and, if it is itself within a body of the dead
    run, what has the run's identity from it.
    """
    me = psutil.Process()
    within = ProcessIdentity.read(os.environ.get(RUN, "")) == dead
    kin, groups = {process.pid for process in (me, *me.parents(), *(me.children(recursive=True) if within else ()))}, set()
    for pid in kin:
        with suppress(ProcessLookupError):
            groups.add(os.getpgid(pid))
    return kin, groups - {0}


def _launched_by(dead: ProcessIdentity) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if ProcessIdentity.read(process.environ().get(RUN, "")) == dead:
                yield process
