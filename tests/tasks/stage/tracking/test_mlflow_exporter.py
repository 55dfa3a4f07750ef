"""What MLflow shows of a run: parent and stages, datasets by digest, models, links of reused stages, the registry."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from mlflow.entities import Dataset
from mlflow.entities import Run as TrackedRun
from mlflow.tracking import MlflowClient

from tasks.release.register import CHAMPION
from tasks.stage.execution.run import PipelineRun
from tasks.stage.tracking.mlflow_exporter import MlflowExporter
from tests.tasks.toys import POSITIONS, Judge, Learn, Toys, Workshop


@pytest.fixture
def tracked(workshop: Workshop, database: str) -> Workshop:
    """The toy pipeline with MLflow."""
    workshop.tracking = database
    return workshop


def runs(workshop: Workshop, parent: str = "") -> list[TrackedRun]:
    """Return parent runs, oldest first, or the children of one by name."""
    client = MlflowClient(tracking_uri=workshop.tracking)
    experiment = client.get_experiment_by_name("toys")
    assert experiment is not None
    wanted = f"tags.`mlflow.parentRunId` = '{parent}'" if parent else "tags.`folio.kind` = 'pipeline'"
    found = client.search_runs([experiment.experiment_id], wanted, order_by=["attributes.start_time ASC"])
    return [client.get_run(run.info.run_id) for run in found]


def registered(workshop: Workshop, run: PipelineRun) -> str:
    """Return the registered version of the model that a run made."""
    tracker = MlflowExporter(workshop.tracking, "toys", workshop.home, workshop.store)
    return tracker.register("folio-toys", run.artifacts["learn"], CHAMPION).version


def data_sets(run: TrackedRun) -> dict[str, Dataset]:
    """Return the datasets of a run by their role."""
    assert run.inputs is not None
    return {given.tags[0].value: given.dataset for given in run.inputs.dataset_inputs}


def test_a_run_is_a_parent_with_a_child_a_stage_and_every_metric_stands_on_the_parent(tracked: Workshop) -> None:
    run = tracked.run()
    (parent,) = runs(tracked)
    children = {child.info.run_name: child for child in runs(tracked, parent.info.run_id)}
    assert tuple(children) == POSITIONS
    assert {child.info.status for child in (parent, *children.values())} == {"FINISHED"}
    assert parent.data.params["learn.rate"] == "0.5"
    assert parent.data.metrics["count.words"] == children["count"].data.metrics["words"] == 4.0
    assert parent.data.tags["folio.executed"] == ", ".join(sorted(POSITIONS))
    history = MlflowClient(tracking_uri=tracked.tracking).get_metric_history(children["learn"].info.run_id, "train.loss")
    assert [(point.step, point.value) for point in history] == [(1, 2.0), (2, 1.0)]
    assert all(run.artifacts[position].origin.mlflow_run_id == children[position].info.run_id for position in POSITIONS)


def test_inputs_and_outputs_are_data_sets_named_by_our_digests(tracked: Workshop) -> None:
    run = tracked.run()
    (parent,) = runs(tracked)
    judged = next(child for child in runs(tracked, parent.info.run_id) if child.info.run_name == "judge.small")
    shown = {name: (given.name, given.digest) for name, given in data_sets(judged).items()}
    made = {name: run.artifacts[position] for name, position in (("model", "learn"), ("words", "collect"), ("output", "judge.small"))}
    assert shown == {name: (artifact.location, artifact.digest[:32]) for name, artifact in made.items()}
    counted = next(child for child in runs(tracked, parent.info.run_id) if child.info.run_name == "count")
    part = data_sets(counted)["words"]
    assert part.name == f"{run.artifacts['collect'].location}/words.txt"
    assert json.loads(part.source)["uri"] == f"{tracked.store}/{part.name}"


def test_a_model_stage_makes_a_ready_model_with_our_digest_and_without_weights(tracked: Workshop) -> None:
    run = tracked.run()
    client = MlflowClient(tracking_uri=tracked.tracking)
    learned = run.artifacts["learn"]
    model = client.get_logged_model(learned.origin.mlflow_model_id)
    assert model.status == "READY"
    assert model.tags["folio.digest"] == learned.digest
    assert model.source_run_id == learned.origin.mlflow_run_id
    assert [file.path for file in client.list_logged_model_artifacts(model.model_id)] == ["config.json"]
    outputs = client.get_run(learned.origin.mlflow_run_id).outputs
    assert outputs is not None
    assert [made.model_id for made in outputs.model_outputs] == [model.model_id]


def test_a_reused_stage_links_the_run_that_made_it_and_its_metrics_stand_on_the_new_parent(tracked: Workshop) -> None:
    first = tracked.run()
    tracked.run(Toys(judge=Judge(limit=2)))
    _, parent = runs(tracked)
    children = {child.info.run_name: child for child in runs(tracked, parent.info.run_id)}
    assert set(children) == {"collect (reused)", "count (reused)", "learn (reused)", "judge.small"}
    reused = children["learn (reused)"]
    assert reused.data.tags["folio.made_by"] == first.artifacts["learn"].origin.mlflow_run_id
    assert reused.data.tags["folio.kind"] == "reused"
    assert parent.data.metrics["learn.loss"] == 1.0
    assert parent.data.tags["folio.reused"] == "collect, count, learn"
    assert parent.data.tags["folio.executed"] == "judge.small"


@pytest.mark.parametrize("broken", ["body", "commit"])
def test_a_stage_that_does_not_get_there_is_failed_and_so_is_its_parent(tracked: Workshop, broken: str) -> None:
    if broken == "commit":
        Path(tracked.store).mkdir()
        (Path(tracked.store) / "judge").write_text("in the way")
    with pytest.raises((ValueError, RuntimeError)) as error:
        tracked.run(Toys(judge=Judge(limit=-1 if broken == "body" else 1)))
    (parent,) = runs(tracked)
    children = {child.info.run_name: child for child in runs(tracked, parent.info.run_id)}
    assert parent.info.status == "FAILED"
    assert {name: child.info.status for name, child in children.items()} == {
        **dict.fromkeys(POSITIONS[:3], "FINISHED"),
        "judge.small": "FAILED",
    }
    assert str(error.value)[:40] in children["judge.small"].data.tags["folio.error"]


def test_registering_is_idempotent_and_the_alias_moves_to_the_newest_digest(tracked: Workshop) -> None:
    first, second = tracked.run(), tracked.run(Toys(learn=Learn(rate=0.25)))
    client = MlflowClient(tracking_uri=tracked.tracking, registry_uri=tracked.tracking)

    def register(run: PipelineRun) -> str:
        return registered(tracked, run)

    assert [register(first), register(first), register(second)] == ["1", "1", "2"]
    champion = client.get_model_version_by_alias("folio-toys", CHAMPION)
    assert int(champion.version) == 2
    assert champion.tags["folio.digest"] == second.artifacts["learn"].digest
    assert champion.source == f"{tracked.store}/{second.artifacts['learn'].location}"
    assert register(first) == "1"
    assert len(client.search_model_versions("name = 'folio-toys'")) == 2


def test_a_lost_database_is_filled_again_from_what_the_store_holds(tracked: Workshop, migrated: Path, tmp_path: Path) -> None:
    tracked.run()
    shutil.copy(migrated, tmp_path / "fresh.db")
    tracked.tracking = f"sqlite:///{tmp_path / 'fresh.db'}"
    tracked.executed.clear()
    again = tracked.run()
    assert registered(tracked, again) == "1"
    (parent,) = runs(tracked)
    assert parent.data.metrics["learn.loss"] == 1.0


def test_planning_records_nothing(tracked: Workshop) -> None:
    tracked.plan()
    assert MlflowClient(tracking_uri=tracked.tracking).get_experiment_by_name("toys") is None
    assert tracked.executed == []


def test_a_model_shows_what_was_measured_of_it_and_the_parent_shows_what_came_in_and_every_model(tracked: Workshop) -> None:
    run = tracked.run()
    client = MlflowClient(tracking_uri=tracked.tracking)
    model_id = run.artifacts["learn"].origin.mlflow_model_id
    measured = {metric.key: metric.value for metric in client.get_logged_model(model_id).metrics}
    assert measured["loss"] == 1.0, "of its own training"
    assert measured["passed"] == 1.0, "of the stage that judged it"
    (parent,) = runs(tracked)
    assert data_sets(parent)["collect"].digest == run.artifacts["collect"].digest[:32]
    assert parent.outputs is not None
    assert [made.model_id for made in parent.outputs.model_outputs] == [model_id]


def test_a_search_by_digest_finds_every_run_that_used_a_data_set_reused_or_not(tracked: Workshop) -> None:
    first, second = tracked.run(), tracked.run(Toys(learn=Learn(rate=0.25)))
    client = MlflowClient(tracking_uri=tracked.tracking)
    experiment = client.get_experiment_by_name("toys")
    assert experiment is not None
    counted = first.artifacts["count"].digest
    found = client.search_runs([experiment.experiment_id], f"dataset.digest = '{counted[:32]}'")
    assert {run.info.run_name for run in found} == {"count", "count (reused)", "learn"}
    parents = [run.data.tags["mlflow.parentRunId"] for run in found if run.info.run_name == "learn"]
    assert set(parents) == {first.record.mlflow_run_id, second.record.mlflow_run_id}
