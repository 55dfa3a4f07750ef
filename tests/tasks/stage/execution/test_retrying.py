"""A fault that passes by itself costs a wait, and a fault that comes again costs none."""

from __future__ import annotations

import http.client
import logging
import os
import signal
import threading
import time
import urllib.error
from types import SimpleNamespace

import pytest

from model.evaluation.gate import Bound
from tasks.gate import GateFailed
from tasks.stage.execution import execute
from tasks.stage.execution.bodies.body_errors import describe, is_transient, rebuild
from tasks.stage.execution.resources import Resources
from tests.tasks.toys import Workshop

FLAKY = """
    executed("count")
    tries = words.parents[3] / "tries"
    with tries.open("a") as stream:
        stream.write("x")
    if len(tries.read_text()) <= 2:
        try:
            raise TimeoutError("the store did not answer")
        except TimeoutError as error:
            raise ValueError("words.txt could not be read") from error"""


def caused(error: BaseException) -> BaseException:
    """Return an error of ours that was caused by another."""
    try:
        raise ValueError("books.zip could not be fetched") from error
    except ValueError as outer:
        return outer


def answered(status: int) -> Exception:
    """Return an error such as libraries raise for an answer of a server."""
    error = RuntimeError(f"status {status}")
    error.response = SimpleNamespace(status_code=status)  # type: ignore[attr-defined]
    return error


def throttled(code: str) -> Exception:
    """Return an error as botocore raises it."""
    error = RuntimeError(code)
    error.response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 400}}  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError("timed out"),
        ConnectionResetError("reset by peer"),
        http.client.IncompleteRead(b"half"),
        urllib.error.URLError(TimeoutError("timed out")),
        answered(503),
        answered(429),
        throttled("SlowDown"),
    ],
    ids=repr,
)
def test_a_fault_of_the_network_is_transient_also_in_an_error_of_ours_and_from_another_process(error: Exception) -> None:
    assert is_transient(error)
    assert is_transient(caused(error))
    assert is_transient(rebuild(describe(caused(error))))


@pytest.mark.parametrize(
    "error",
    [
        ValueError("clean.ocr=maybe"),
        FileNotFoundError("books.zip"),
        OSError(28, "No space left on device"),
        GateFailed(f"{Bound(metric='loss', maximum=1)} failed"),
        answered(404),
        throttled("AccessDenied"),
        MemoryError(),
    ],
    ids=repr,
)
def test_a_fault_that_comes_again_is_not_transient(error: Exception) -> None:
    assert not is_transient(caused(error))
    assert not is_transient(rebuild(describe(caused(error))))


def test_delays_double_up_to_a_minute() -> None:
    assert execute.delays(7) == [2, 4, 8, 16, 32, 60, 60]


def states_of(run_id: str, name: str) -> list[str]:
    """Return the names of all states that a task of a flow run had, in order."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter

    with get_client(sync_client=True) as client:
        for _ in range(600):
            tasks = client.read_task_runs(flow_run_filter=FlowRunFilter.model_validate({"id": {"any_": [run_id]}}))
            found = [task for task in tasks if task.name == name and task.state and task.state.is_final()]
            if found:
                reply = client._client.get("/task_run_states/", params={"task_run_id": str(found[0].id)})
                return [state["name"] for state in reply.json()]
            time.sleep(0.1)
    raise AssertionError(f"Prefect knows no task {name}")


def test_a_stage_runs_again_after_a_transient_fault_and_log_record_and_prefect_say_so(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(execute, "FIRST_SECONDS", 0.1)
    workshop.edit('\n    executed("count")', FLAKY)
    with caplog.at_level(logging.INFO, "folio"):
        run = workshop.run()
    assert workshop.executed == ["collect", "count", "count", "count", "learn", "judge"]
    assert run.record.positions["count"].retries == 2
    assert run.record.positions["learn"].retries == 0
    text = [record.getMessage() for record in caplog.records]
    assert "count: ValueError: words.txt could not be read; runs again in 0.1 s (retry 1 of 3)" in text
    assert any(line.startswith("count: done in") and "at try 3" in line for line in text)
    assert states_of(run.record.flow_run_id, "count").count("AwaitingRetry") == 2


def test_a_stage_that_fails_at_every_try_fails_with_its_own_error(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "FIRST_SECONDS", 0.1)
    workshop.edit('\n    executed("count")', FLAKY)
    workshop.resources = Resources(retries=1)
    with pytest.raises(ValueError, match=r"words\.txt could not be read"):
        workshop.run()
    assert workshop.executed == ["collect", "count", "count"]


def test_a_ctrl_c_while_a_stage_waits_to_run_again_ends_the_run_at_once(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute, "FIRST_SECONDS", 60)
    workshop.edit('\n    executed("count")', FLAKY)
    tries = workshop.folder / "tries"

    def interrupt() -> None:
        until = time.monotonic() + 120
        while not any("runs again" in line for line in said) and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGINT)

    said: list[str] = []
    monkeypatch.setattr(execute, "log", said.append)
    threading.Thread(target=interrupt, daemon=True).start()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        workshop.run()
    assert tries.read_text() == "x"
    assert time.monotonic() - began < 59
