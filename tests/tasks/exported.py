"""What MLflow shows of runs, once it was told of them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from mlflow.entities import Dataset, Run
from mlflow.tracking import MlflowClient

from tasks.stage.execution.run import PipelineRun
from tasks.stage.store.journal import ExportRecord, Journal
from tasks.stage.tracking.export import wait_until_exported


def exported(run: PipelineRun) -> ExportRecord:
    """Wait until MLflow was told of a run in full; return what it calls it."""
    found = wait_until_exported(Journal(run.store), run.record.id, 300)
    assert found is not None, "nobody told MLflow"
    assert found.complete, found.problem
    return found


def parent_of(database: str, run: PipelineRun) -> Run:
    """Return the parent run of a pipeline run."""
    return MlflowClient(tracking_uri=database).get_run(exported(run).mlflow_run_id)


def children_of(database: str, run: PipelineRun) -> dict[str, Run]:
    """Return the child runs of a pipeline run by name, oldest first."""
    client, known = MlflowClient(tracking_uri=database), exported(run)
    wanted = f"tags.`mlflow.parentRunId` = '{known.mlflow_run_id}'"
    found = client.search_runs([known.experiment_id], wanted, order_by=["attributes.start_time ASC"])
    return {str(child.info.run_name): client.get_run(child.info.run_id) for child in found}


def data_sets(run: Run) -> dict[str, Dataset]:
    """Return the datasets of a run by their role."""
    assert run.inputs is not None
    return {given.tags[0].value: given.dataset for given in run.inputs.dataset_inputs}


def rows(database: str) -> set[str]:
    """Return every row of every table."""
    with closing(sqlite3.connect(Path(database.removeprefix("sqlite:///")))) as connection:
        return set(connection.iterdump())
