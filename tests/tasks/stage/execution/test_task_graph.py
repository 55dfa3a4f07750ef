"""Prefect's graph of a flow run has an edge wherever a stage used what another made, as the artifacts' records say."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tasks.stage.execution.run import PipelineRun
from tests.tasks.stage.execution.test_shards import Library
from tests.tasks.toys import POSITIONS, Workshop


def edges_on_the_server(run: PipelineRun) -> set[tuple[str, str]]:
    """Return (from, to) of each edge among the flow run's tasks, by their names, once the server has all of the tasks."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter

    with get_client(sync_client=True) as client:
        for _ in range(600):
            of_run = FlowRunFilter.model_validate({"id": {"any_": [run.record.flow_run_id]}})
            tasks = client.read_task_runs(flow_run_filter=of_run)
            if len(tasks) >= len(run.artifacts) and all(task.state and task.state.is_final() for task in tasks):
                names = {task.id: task.name for task in tasks}
                return {(names[one.id], task.name) for task in tasks for inputs in task.task_inputs.values() for one in inputs}  # type: ignore[union-attr]
            time.sleep(0.1)
    raise AssertionError(f"Prefect knows {len(tasks)} tasks only")


def edges_of_records(run: PipelineRun) -> set[tuple[str, str]]:
    """Return (from, to) of each input of the artifacts of a run."""
    at = {artifact.location: position for position, artifact in run.artifacts.items()}
    return {(at[item.location], position) for position, artifact in run.artifacts.items() for item in artifact.inputs.values()}


def test_the_edges_of_the_graph_are_the_inputs_of_the_artifacts_whether_they_are_made_or_reused(workshop: Workshop) -> None:
    made = workshop.run()
    first = edges_on_the_server(made)
    assert first == edges_of_records(made)
    assert first == {("collect", "count"), ("count", "learn"), ("learn", "judge.small"), ("collect", "judge.small")}
    reused = workshop.run()
    assert reused.reused == set(POSITIONS)
    assert edges_on_the_server(reused) == first


def test_each_shard_has_edges_of_its_own(tmp_path: Path, prefect: None, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Library(tmp_path, monkeypatch).run()
    found = edges_on_the_server(run)
    assert found == edges_of_records(run)
    assert {edge for edge in found if edge[1] == "bind"} == {(f"shout[{number}]", "bind") for number in range(Library.shards)}
    assert ("read[1]", "shout[1]") in found and ("read[0]", "shout[1]") not in found
