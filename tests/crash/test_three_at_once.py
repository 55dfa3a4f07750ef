"""Three runs of one recipe at once write to one MLflow: none fails, and MLflow shows each of them in full."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tasks.stage.store.journal import Journal
from tasks.stage.store.store import Store
from tasks.stage.tracking.export import wait_until_exported
from tests.crash.launching import ROOT
from tests.tasks.toys import POSITIONS

TOGETHER = 3


@pytest.mark.parametrize("rounds", [pytest.param(1, marks=pytest.mark.crash), pytest.param(30, marks=pytest.mark.slow)])
def test_runs_of_one_recipe_at_once_all_finish_and_are_all_shown(tmp_path: Path, prefect: None, database: str, rounds: int) -> None:
    from mlflow.tracking import MlflowClient
    from prefect.settings import PREFECT_API_URL

    environment = {**os.environ, "PREFECT_API_URL": str(PREFECT_API_URL.value()), "PYTHONPATH": str(ROOT)}
    command, store, log = [sys.executable, "-m", "tests.crash.toy"], tmp_path / "store", tmp_path / "bodies.txt"
    words = [str(store), database, str(rounds), str(log), str(TOGETHER)]
    processes = [
        subprocess.Popen([*command, str(tmp_path / f"run-{number}"), *words], env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for number in range(TOGETHER)
    ]
    said = [process.communicate(timeout=3000)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * TOGETHER, "\n".join(said)
    journal = Journal(Store(str(store), tmp_path / "cache"))
    records = journal.records()
    assert [record.status for record in records] == ["finished"] * TOGETHER * rounds
    for record in records:
        told = wait_until_exported(journal, record.id, 600)
        assert told is not None and told.complete, told
    client = MlflowClient(tracking_uri=database)
    (experiment,) = (found for found in client.search_experiments() if found.name == "toys")
    shown = client.search_runs([experiment.experiment_id], max_results=5000)
    assert {run.info.status for run in shown} == {"FINISHED"}
    positions = Counter((run.data.tags["folio.run"], run.data.tags.get("folio.position", "")) for run in shown)
    assert positions == {(record.id, position): 1 for record in records for position in ("", *POSITIONS)}
