"""Settle a run: close it if it is dead, tell MLflow and Prefect how it ended, and record which of them could not be reached.

One process settles a run at a time. Repeating it changes nothing. No failure of a server is an error: it is returned as a problem, and
the note in the journal stays for the next run, `folio up` and `folio sync`, which settles
all runs of a store that have ended, oldest first.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from tasks.stage.recovery.dead_runs import Servers, close_dead_run
from tasks.stage.store.journal import ExportRecord, Journal, RunRecord
from tasks.stage.system.locks import local_lock, try_lock
from tasks.stage.tracking.export import RunExport, Told
from tasks.stage.tracking.mlflow_database import MlflowDatabase

if TYPE_CHECKING:
    from tasks.stage.tracking.export import RunExport

DEATH_SECONDS = 30.0


@contextmanager
def settlement(journal: Journal, servers: Servers, run_id: str, *, wait: bool) -> Iterator[Settlement]:
    """Hold the right to settle a run for the block. Without `wait`, raises BlockingIOError if another process holds it."""
    lock = servers.lock_of(run_id)
    with local_lock(lock, lambda: None) if wait else try_lock(lock):
        yield Settlement(journal, servers, run_id)
        # Whoever waits for it finds nothing left to do.
        lock.unlink(missing_ok=True)


class Settlement:
    """Tells the servers of one run."""

    def __init__(self, journal: Journal, servers: Servers, run_id: str) -> None:
        self._journal, self._servers, self._run_id = journal, servers, run_id

    @cached_property
    def _export(self) -> RunExport:
        # Importing MLflow takes seconds, which a run without it is spared.
        return RunExport(MlflowDatabase(self._servers.mlflow, self._servers.home / "mlflow"), self._journal)

    def tell_progress(self) -> str:
        """Tell MLflow how far the run has come, or how it ended; return why it could not be told, or ""."""
        record = self._journal.read(self._run_id)
        if record is None or not self._servers.mlflow:
            return ""
        told = self._journal.exported(record.id) or ExportRecord()
        try:
            told = self._export.tell(record).model_copy(update={"problem": ""})
        except Exception as error:  # noqa: BLE001  # nothing that fails there may touch the run; the export record names it
            told = told.model_copy(update={"problem": _reason(error)})
            self.__dict__.pop("_export", None)
        self._journal.write_export(record.id, told.model_copy(update={"told": record.status}))
        if record.status != "running" and not told.problem:
            self._journal.settle(record.id, self._servers.mlflow)
        return told.problem

    def close_if_dead(self) -> None:
        """Close a run whose process is about to be gone: its pipe is closed before its lock is free."""
        deadline = time.monotonic() + DEATH_SECONDS
        while (record := self._journal.read(self._run_id)) and self._journal.alive(record) and time.monotonic() < deadline:
            time.sleep(0.1)
        if record and record.status == "running" and not self._journal.alive(record):
            close_dead_run(self._journal, record)

    def close(self) -> dict[str, str]:
        """Close the run unless it is alive, and tell every server that has yet to be told; return the problems by server."""
        record = self._journal.read(self._run_id)
        if record is None:  # it died before its record was written, and had begun nothing
            for url in (self._servers.mlflow, self._servers.prefect):
                self._journal.settle(self._run_id, url)
            return {}
        if record.status == "running":
            if self._journal.alive(record):
                return {}
            record = close_dead_run(self._journal, record)
        tell: dict[str, tuple[str, Callable[[], str]]] = {
            "MLflow": (self._servers.mlflow, self.tell_progress),
            "Prefect": (self._servers.prefect, lambda: self._tell_prefect(record)),
        }
        owed = {name: told for name, (url, told) in tell.items() if url and self._journal.owes(record.id, url)}
        return {name: problem for name, told in owed.items() if (problem := told())}

    def _tell_prefect(self, record: RunRecord) -> str:
        from tasks.stage.recovery.prefect_states import close_in_prefect

        try:
            close_in_prefect(self._servers.prefect, record)
        except Exception as error:  # noqa: BLE001  # as above
            return _reason(error)
        self._journal.settle(record.id, self._servers.prefect)
        return ""


def _reason(error: Exception) -> str:
    """Return a database's message without the statement that it was given."""
    found = re.search(r"\([\w.]+Error\) ([^\[\n]+)", str(error))
    return found[1].strip() if found else " ".join(f"{type(error).__name__}: {error}".split())[:300]


@dataclass(frozen=True)
class Synced:
    """A run that some server had yet to be told of. `problems`: why it could not be, by the server's name."""

    run: RunRecord
    problems: dict[str, str]


def synchronize(journal: Journal, servers: Servers) -> Iterator[Synced]:
    """Bring the servers up to date, run by run. Raises MLflow's error if its database can't be read."""
    told = Told(servers.mlflow, servers.home) if servers.mlflow else None
    for record in reversed(journal.records()):
        if journal.alive(record):
            continue
        if record.status == "running":
            record = close_dead_run(journal, record)
        owed = {url for url in servers.of(record) if journal.owes(record.id, url)}
        if told is not None and record.configuration.get("tracking") != "none" and not told.knows(record):
            owed.add(servers.mlflow)
        if owed:
            journal.owe(record.id, owed)
            with settlement(journal, servers, record.id, wait=True) as run:  # a follower may be telling them right now
                yield Synced(record, run.close())
