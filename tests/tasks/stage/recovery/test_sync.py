"""MLflow and Prefect are brought up to date from the journal alone, whatever they have missed, and once is enough."""

from __future__ import annotations

import shutil
from pathlib import Path
from uuid import uuid4

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from tasks.stage.recovery.dead_runs import Servers
from tasks.stage.recovery.prefect_states import close_in_prefect
from tasks.stage.recovery.settlement import Synced, synchronize
from tasks.stage.store.journal import Journal, RunRecord
from tasks.stage.store.origin import now
from tasks.stage.store.store import Store
from tests.tasks.exported import rows
from tests.tasks.toys import POSITIONS


class Ended:
    """A copy of a store with one run of the toy pipeline, of which MLflow was never told."""

    def __init__(self, folder: Path, store: Path, database: str) -> None:
        shutil.copytree(store, folder / "store")
        self.database = database
        self.journal = Journal(Store(str(folder / "store"), folder / "cache"))
        self.servers = Servers(database, "", folder / "home")

    @property
    def record(self) -> RunRecord:
        """The run."""
        (found,) = (run for run in self.journal.records() if run.positions)
        return found

    def sync(self) -> list[Synced]:
        """Tell MLflow what it lacks."""
        return list(synchronize(self.journal, self.servers))

    def shown(self) -> dict[str, Run]:
        """What MLflow shows, by run and position."""
        client = MlflowClient(tracking_uri=self.database)
        runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
        return {f"{run.data.tags['folio.run']} {run.data.tags.get('folio.position', '')}".strip(): run for run in runs}


@pytest.fixture
def ended(tmp_path: Path, first_store: Path, database: str) -> Ended:
    """The run and an empty MLflow."""
    return Ended(tmp_path, first_store, database)


def test_an_empty_mlflow_gets_the_runs_of_the_journal_and_a_second_time_there_is_nothing_to_do(ended: Ended) -> None:
    (done,) = ended.sync()
    assert (done.run.id, done.problems) == (ended.record.id, {})
    assert set(ended.shown()) == {ended.record.id, *(f"{ended.record.id} {position}" for position in POSITIONS)}
    assert {run.info.status for run in ended.shown().values()} == {"FINISHED"}
    before = rows(ended.database)
    assert ended.sync() == []
    assert rows(ended.database) == before
    assert ended.journal.get(ended.shown()[ended.record.id].info.run_id) == ended.record, "a run is found by what MLflow calls it"


def test_a_run_that_was_told_to_one_mlflow_is_told_to_another_too(ended: Ended, migrated: Path, tmp_path: Path) -> None:
    ended.sync()
    shutil.copy(migrated, tmp_path / "foreign.db")
    ended.database = f"sqlite:///{tmp_path / 'foreign.db'}"
    ended.servers = Servers(ended.database, "", ended.servers.home)
    assert [done.problems for done in ended.sync()] == [{}]
    assert len(ended.shown()) == 1 + len(POSITIONS)


def test_a_run_without_tracking_stays_without(ended: Ended) -> None:
    record = ended.record
    ended.journal.write(record.model_copy(update={"configuration": {"tracking": "none"}}))
    assert ended.sync() == []


def test_a_run_whose_process_is_gone_is_closed_and_told_as_crashed(ended: Ended) -> None:
    begun = ended.record.stages["learn"].model_copy(update={"status": "executing", "ended": ""})
    stages = {**ended.record.stages, "learn": begun}
    ended.journal.write(ended.record.model_copy(update={"status": "running", "ended": "", "stages": stages}))
    assert [done.problems for done in ended.sync()] == [{}]
    assert ended.record.status == "crashed"
    shown = ended.shown()
    assert [shown[name].info.status for name in (ended.record.id, f"{ended.record.id} learn")] == ["KILLED", "KILLED"]
    assert "its process was killed" in shown[ended.record.id].data.tags["folio.crashed"]


def test_an_mlflow_that_cannot_be_told_is_a_problem_and_stays_owed(ended: Ended) -> None:
    store = ended.journal.store
    learned = ended.record.positions["learn"].location
    (store.local(store.index.read(learned)) / "config.json").unlink()  # type: ignore[arg-type]
    (done,) = ended.sync()
    assert "config.json" in done.problems["MLflow"]
    assert ended.journal.owing() == [ended.record.id]
    assert ended.journal.exported(ended.record.id).problem == done.problems["MLflow"]  # type: ignore[union-attr]


@pytest.mark.parametrize(("status", "state"), [("finished", "COMPLETED"), ("failed", "FAILED"), ("crashed", "CRASHED")])
def test_prefect_is_told_how_a_run_ended_whose_process_could_not_say_so(prefect: None, status: str, state: str) -> None:
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL
    from prefect.states import Running

    with get_client(sync_client=True) as client:
        open_run = client.create_flow_run(flow(name="toys")(lambda: None), state=Running())
        record = RunRecord.model_validate(
            {
                **{"id": "20200101T000000-000000", "recipe": "toys", "status": status, "started": now(), "host": "elsewhere", "pid": 1},
                **{"git_commit": "", "git_dirty": False, "configuration": {}, "flow_run_id": str(open_run.id)},
            }
        )
        for _ in range(2):
            close_in_prefect(str(PREFECT_API_URL.value()), record)
            assert str(client.read_flow_run(open_run.id).state.type.value) == state  # type: ignore[union-attr]
        close_in_prefect(str(PREFECT_API_URL.value()), record.model_copy(update={"flow_run_id": str(uuid4())}))


@pytest.mark.parametrize("name", ["Pending", "Running"])
def test_a_flow_run_that_was_resumed_is_left_to_the_run_that_goes_on(prefect: None, name: str) -> None:
    from prefect import flow, states
    from prefect.client.orchestration import get_client
    from prefect.settings import PREFECT_API_URL

    ended = now()
    with get_client(sync_client=True) as client:
        resumed = client.create_flow_run(flow(name="toys")(lambda: None), state=getattr(states, name)())
        record = RunRecord.model_validate(
            {
                **{"id": "20200101T000000-000000", "recipe": "toys", "status": "stopped", "started": ended, "ended": ended},
                **{"host": "elsewhere", "pid": 1, "git_commit": "", "git_dirty": False, "configuration": {}},
                "flow_run_id": str(resumed.id),
            }
        )
        close_in_prefect(str(PREFECT_API_URL.value()), record)
        assert client.read_flow_run(resumed.id).state.name == name  # type: ignore[union-attr]
