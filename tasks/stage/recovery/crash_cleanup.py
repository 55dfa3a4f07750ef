"""Close what a dead run left open: its worker processes, its runs in MLflow and Prefect, and its journal record, in this order.

Afterwards no worker of the run is alive; the run and its unfinished stages are KILLED with the tag `folio.crashed` in MLflow, and Crashed
in Prefect; its record says `crashed`. Cleaning up twice, or by two processes at once, changes nothing. What ended by itself stays as it
is.
If MLflow or Prefect can't be updated, the run stays `running` until the next sweep; the `last` attempt records the problem.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from uuid import UUID

import psutil

from tasks.stage.store.journal import Journal, RunRecord
from tasks.stage.store.origin import now
from tasks.stage.store.store import Store
from tasks.stage.tracking.mlflow_exporter import close_crashed

CRASHED = "its process was killed, or the machine or its disk failed"
EXIT_SECONDS = 30.0
PAGE = 200  # most task runs that Prefect's server returns at once


def main(store: str, cache: str, tracking: str, last: str, *run_ids: str) -> None:
    """Run the cleanup process for runs that are dead or about to be."""
    journal = Journal(Store(store, Path(cache)))
    for run_id in run_ids:
        with suppress(LookupError):  # it died before its record was written, and had opened nothing
            if (process := process_of(journal.get(run_id))) is not None:
                psutil.wait_procs([process], EXIT_SECONDS)
            close_dead_run(journal, journal.get(run_id), tracking, last=bool(last))


def close_dead_run(journal: Journal, record: RunRecord, tracking: str, *, last: bool) -> RunRecord:
    """Close what a run left open; return its updated record. `tracking`: MLflow's database, or ""."""
    kill_workers(record)
    problems = []
    closers: dict[str, Callable[[], None]] = {
        "MLflow": lambda: _close_in_mlflow(record, tracking),
        "Prefect": lambda: _close_in_prefect(record),
    }
    for name, close in closers.items():
        try:
            close()
        except Exception as error:  # noqa: BLE001  # whatever it is, the rest must still be closed; the record names it
            problems.append(f"{name} could not be updated ({type(error).__name__}: {error})")
    if record.status == "running" and (last or not problems):
        message = " ".join("; ".join([CRASHED, *problems]).split())[:500]
        record = record.model_copy(update={"status": "crashed", "ended": now(), "error": message})
        journal.write(record)
        journal.release(record)
    return record


def process_of(record: RunRecord) -> psutil.Process | None:
    """Return the living process of a run; None if it has ended (even if its number was reused) or is on another machine."""
    if record.host != socket.gethostname():
        return None
    try:
        process = psutil.Process(record.pid)
        began = process.create_time()
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


def _close_in_mlflow(record: RunRecord, tracking: str) -> None:
    if tracking:
        close_crashed(tracking, record.recipe, record.id, CRASHED)


def _close_in_prefect(record: RunRecord) -> None:
    if not record.flow_run_id or process_of(record) is not None:
        return
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, TaskRunFilter, TaskRunFilterState, TaskRunFilterStateType
    from prefect.client.schemas.objects import StateType
    from prefect.exceptions import ObjectNotFound
    from prefect.states import Crashed

    flow_run_id = UUID(record.flow_run_id)
    of_it = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run_id]))
    unfinished = TaskRunFilter(state=TaskRunFilterState(type=TaskRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING])))
    with get_client(sync_client=True) as client:
        while tasks := client.read_task_runs(flow_run_filter=of_it, task_run_filter=unfinished, limit=PAGE):
            for task in tasks:
                client.set_task_run_state(task.id, Crashed(message=CRASHED), force=True)
        try:
            state = client.read_flow_run(flow_run_id).state
        except ObjectNotFound:  # a server with another database has nothing open
            return
        if state is None or not state.is_final():
            client.set_flow_run_state(flow_run_id, Crashed(message=CRASHED), force=True)
