"""A run that is killed or asked to stop says so everywhere: in the journal, in MLflow, in Prefect, and on the terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tasks.stage.store.journal import Journal, RunRecord
from tasks.stage.store.store import Store
from tasks.stage.tracking.export import wait_until_exported
from tests.crash.launching import ROOT
from tests.tasks.toys import Workshop


def followers(pid: int) -> list[psutil.Process]:
    """The processes that follow the runs of a process."""
    children = (child.as_dict(["pid", "cmdline"]) for child in psutil.Process(pid).children())
    return [psutil.Process(child["pid"]) for child in children if "follow" in (child["cmdline"] or [])]


class Started:
    """A process that runs the toy pipeline and has come to `learn`."""

    def __init__(self, folder: Path, database: str, what: str) -> None:
        from prefect.settings import PREFECT_API_URL

        self.store = folder / "store"
        environment = {**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value()), "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.toy", str(folder / what), str(self.store), database, what],
            env=environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # What runs in the background of a script ignores Ctrl-C; this is to behave as on a terminal.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        assert self.process.stdout is not None
        while "learning" not in (line := self.process.stdout.readline()):
            assert line, self.process.communicate()[1]

    def ended(self, number: int) -> tuple[int, str]:
        """Send a signal; the exit code, and what was said after it."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        assert "Traceback" not in err
        return self.process.returncode, out

    def record(self) -> RunRecord:
        """What the journal says of the only run."""
        (record,) = self.journal.records()
        return record

    @property
    def journal(self) -> Journal:
        """The journal of its store."""
        return Journal(Store(str(self.store), self.store / "cache"))

    def closed(self) -> RunRecord:
        """The record, once it says that the run has ended."""
        deadline = time.monotonic() + 120
        while (record := self.record()).status == "running":
            assert time.monotonic() < deadline, "the run is running for ever"
            time.sleep(0.1)
        return record

    @property
    def follower(self) -> psutil.Process:
        """The process that follows the run."""
        (found,) = followers(self.process.pid)
        return found


@pytest.fixture
def started(tmp_path: Path, prefect: None, database: str, request: pytest.FixtureRequest) -> Iterator[Started]:
    """The process, ended when the test has."""
    started = Started(tmp_path, database, getattr(request, "param", "sleep"))
    yield started
    started.process.kill()
    started.process.communicate()


def in_mlflow(database: str, started: Started) -> dict[str, tuple[str, set[str]]]:
    """Status of every MLflow run by its position, "" for the parent, and which of our words on an end it carries."""
    told = wait_until_exported(started.journal, started.record().id, 300)
    assert told is not None and told.complete, told
    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=database)
    words = {"folio.crashed", "folio.stopped", "folio.error"}
    runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    return {run.data.tags.get("folio.position", ""): (str(run.info.status), words & set(run.data.tags)) for run in runs}


def in_prefect(record: RunRecord) -> dict[str, str]:
    """State of the flow run, and of its task runs by name."""
    from uuid import UUID

    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    flow_run = UUID(record.flow_run_id)
    with get_client(sync_client=True) as client:
        deadline = time.monotonic() + 30
        while True:
            tasks = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[flow_run])))
            states = {run.name: str(run.state_name) for run in tasks} | {"flow": str(client.read_flow_run(flow_run).state_name)}
            if "Running" not in states.values() or time.monotonic() > deadline:
                return states
            time.sleep(0.2)


def test_a_killed_run_is_marked_crashed_in_the_journal_in_mlflow_and_in_prefect(started: Started, database: str) -> None:
    started.ended(signal.SIGKILL)
    record = started.closed()
    assert record.status == "crashed"
    assert "its process was killed" in record.error
    assert set(record.positions) == {"collect", "count"}
    found = in_mlflow(database, started)
    assert found[""] == found["learn"] == ("KILLED", {"folio.crashed"})
    assert found["count"] == ("FINISHED", set())
    states = in_prefect(record)
    assert (states["flow"], states["learn"], states["count"]) == ("Crashed", "Crashed", "Completed")


@pytest.mark.slow
def test_a_run_that_died_with_its_follower_is_marked_by_the_next_run(started: Started, workshop: Workshop, database: str) -> None:
    started.follower.kill()
    started.ended(signal.SIGKILL)
    time.sleep(2)
    assert started.record().status == "running"
    dead = started.record().id
    workshop.store, workshop.tracking = str(started.store), database
    workshop.run()
    journal = Journal(Store(str(started.store), started.store / "cache"))
    deadline = time.monotonic() + 120
    while journal.get(dead).status == "running":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert journal.get(dead).status == "crashed"
    assert {record.status for record in journal.records()} == {"crashed", "finished"}
    assert not list(started.store.glob(".runs/*.lock"))


def test_a_run_that_ends_by_itself_leaves_nobody_behind_but_the_last_follower(workshop: Workshop) -> None:
    for _ in range(3):
        workshop.run()
    deadline = time.monotonic() + 120
    while len(followers(os.getpid())) > 1:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert len(Journal(workshop.opened()).owing()) <= 1


@pytest.mark.parametrize(
    ("number", "code", "state"),
    [
        (signal.SIGINT, 130, "Crashed"),
        pytest.param(signal.SIGTERM, 143, "Crashed", marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, 129, "Crashed", marks=pytest.mark.slow),
    ],
)
def test_a_run_asked_to_stop_says_where_it_stopped_and_that_it_can_go_on(
    started: Started, database: str, number: int, code: int, state: str
) -> None:
    ended, said = started.ended(number)
    assert ended == code
    assert said.splitlines()[-1] == "learn was stopped; run the same command again to continue"
    record = started.record()
    assert record.status == "stopped"
    found = in_mlflow(database, started)
    assert found[""] == found["learn"] == ("KILLED", {"folio.stopped"})
    assert in_prefect(record) == {"flow": state, "learn": "Crashed", "count": "Completed", "collect": "Completed"}


@pytest.mark.parametrize("started", ["compute"], indirect=True)
def test_a_second_ctrl_c_ends_a_run_at_once_even_deep_in_a_library(started: Started) -> None:
    time.sleep(0.5)  # from the word to the library
    started.process.send_signal(signal.SIGINT)
    time.sleep(1)
    assert started.process.poll() is None, "Python handles no signal while a library computes"
    code, _ = started.ended(signal.SIGINT)
    assert code == 130
    assert started.closed().status == "crashed"
