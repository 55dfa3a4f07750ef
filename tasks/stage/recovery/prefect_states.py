"""Tell Prefect how a run ended, if it does not know: a server that was away, or a process that was killed, leaves states open.

A flow run or task run that has ended is left unchanged. The server is asked over plain HTTP where possible, since importing
Prefect's client takes a second. A server with another database has nothing open.
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tasks.stage.recovery.dead_runs import process_of
from tasks.stage.store.journal import RunRecord

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import State, TaskRun

OPEN = ["PENDING", "RUNNING", "CANCELLING"]  # a flow run that waits for a person, or to be tried again, is left alone
ANSWER_SECONDS = 10.0
PAGE = 200  # most task runs that Prefect's server returns at once
EVENT_SECONDS = 5.0  # time for the server to record what a process reported at its end


class FlowRunOpen(RuntimeError):
    """A flow run has not ended, and its process is alive."""


def close_in_prefect(url: str, record: RunRecord) -> None:
    """Give the flow run of a run that has ended, and its task runs, their last states. Raises what Prefect's client raises."""
    if _is_closed(url, record.flow_run_id):
        return
    os.environ["PREFECT_API_URL"] = url
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound

    flow_run = UUID(record.flow_run_id)
    with get_client(sync_client=True) as client:
        try:
            state = client.read_flow_run(flow_run).state
        except ObjectNotFound:
            return
        if state is not None and _taken_up(state, record):
            return
        is_open = state is None or state.type.value in OPEN
        if is_open and process_of(record) is not None:
            raise FlowRunOpen(f"the flow run {record.flow_run_id} has not ended")
        deadline = time.monotonic() + EVENT_SECONDS
        while (unfinished := _unfinished(client, flow_run)) and time.monotonic() < deadline:
            time.sleep(0.5)
        states = _states(record)
        for task in unfinished:
            client.set_task_run_state(task.id, states.get(task.name, states[""]), force=True)
        if is_open:
            client.set_flow_run_state(flow_run, states[""], force=True)


def _taken_up(state: State, record: RunRecord) -> bool:
    """Return whether a flow run continues in another folio run: it was resumed or retried after this one ended."""
    begins = state.is_pending() or state.is_running()  # a worker that takes up a run has it pending before it runs
    return begins and bool(record.ended) and state.timestamp > datetime.fromisoformat(record.ended)


def _is_closed(url: str, flow_run: str) -> bool:
    """Return whether a server says that a flow run and its task runs have ended; False from one that asks who we are, too."""
    unfinished = {"flow_runs": {"id": {"any_": [flow_run]}}, "task_runs": {"state": {"type": {"any_": OPEN}}}}
    try:
        return _ask(f"{url}/flow_runs/{flow_run}")["state"]["type"] not in OPEN and _ask(f"{url}/task_runs/count", unfinished) == 0
    except urllib.error.HTTPError as error:
        return error.code == HTTPStatus.NOT_FOUND


def _ask(url: str, question: object = None) -> Any:
    body = None if question is None else json.dumps(question).encode()
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
        return json.load(answer)


def _unfinished(client: SyncPrefectClient, flow_run: UUID) -> list[TaskRun]:
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    tasks: list[TaskRun] = []
    while page := client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run])), limit=PAGE, offset=len(tasks)):
        tasks += page
    return [task for task in tasks if task.state is None or task.state.type.value in OPEN]


def _states(record: RunRecord) -> Mapping[str, State]:
    """Return the last state of each task run by name, and of the flow run, and of any other task run, by ""."""
    from prefect.states import Cancelled, Completed, Crashed, Failed

    kinds = {"finished": Completed, "failed": Failed, "stopped": Cancelled, "crashed": Crashed}
    states: dict[str, State] = {"": kinds[record.status](message=record.error or None)}
    for position, stage in record.stages.items():
        if stage.status in ("failed", "stopped"):
            states[position] = (Failed if stage.status == "failed" else Crashed)(message=stage.error)
    return states | {position: Completed() for position in record.positions}
