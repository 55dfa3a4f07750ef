"""What MLflow shows of a run: parent and stages, datasets by digest, models, links of reused stages, the registry."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from tasks.release import CHAMPION
from tasks.stage.execution.run import PipelineRun
from tasks.stage.store.journal import Journal, RegisteredModel
from tasks.stage.tracking.export import RunExport
from tasks.stage.tracking.mlflow_database import MlflowDatabase
from tasks.stage.tracking.run_page import run_name
from tests.tasks.exported import children_of, data_sets, exported, parent_of, rows
from tests.tasks.toy_bodies import Judge, Learn
from tests.tasks.toys import POSITIONS, Toys, Workshop


@dataclass(frozen=True)
class Tracked:
    """Three runs in one MLflow: the first, one with another limit of the judge, one with another learning rate that a gate overruled."""

    database: str
    client: MlflowClient
    first: PipelineRun
    limited: PipelineRun
    faster: PipelineRun


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory, prefect: None, migrated: Path) -> Iterator[Tracked]:
    """The runs, of each of which MLflow was told."""
    folder = tmp_path_factory.mktemp("tracked")
    shutil.copy(migrated, folder / "mlflow.db")
    database = f"sqlite:///{folder / 'mlflow.db'}"
    with pytest.MonkeyPatch.context() as patch:
        toys = Workshop(folder, patch)
        toys.tracking = database
        made = [toys.run(), toys.run(Toys(judge=Judge(limit=2))), toys.run(Toys(learn=Learn(rate=0.25)))]
        for run in made:
            exported(run)
        yield Tracked(database, MlflowClient(tracking_uri=database, registry_uri=database), *made)


def told_again(tracked: Tracked, run: PipelineRun, *models: RegisteredModel, database: str = "") -> dict[str, str]:
    """Tell MLflow of a run once more, as one that registers models; return their versions by digest."""
    journal = Journal(run.store)
    record = journal.get(run.record.id)
    told = record.model_copy(update={"registered": models})
    return RunExport(MlflowDatabase(database or tracked.database, run.home / "mlflow"), journal).tell(told).versions


def release(run: PipelineRun, alias: str = CHAMPION) -> RegisteredModel:
    """What a run registers: its model."""
    learned = run.artifacts["learn"]
    return RegisteredModel(name="folio-toys", alias=alias, location=learned.location, digest=learned.digest)


def test_a_run_is_a_parent_with_a_child_a_stage_that_took_as_long_as_it_did(tracked: Tracked) -> None:
    parent, children = parent_of(tracked.database, tracked.first), children_of(tracked.database, tracked.first)
    assert tuple(children) == POSITIONS
    assert {child.info.status for child in (parent, *children.values())} == {"FINISHED"}
    assert parent.data.params["learn.rate"] == "0.5"
    assert parent.data.metrics["count.words"] == children["count"].data.metrics["words"] == 4.0
    assert parent.data.tags["folio.executed"] == ", ".join(sorted(POSITIONS))
    history = tracked.client.get_metric_history(children["learn"].info.run_id, "train.loss")
    assert [(point.step, point.value) for point in history] == [(1, 2.0), (2, 1.0)]
    assert parent.info.start_time <= children["learn"].info.start_time <= children["learn"].info.end_time <= parent.info.end_time


def test_a_run_s_name_says_when_it_was_and_what_had_changed(tracked: Tracked) -> None:
    names = [parent_of(tracked.database, run).info.run_name for run in (tracked.first, tracked.limited, tracked.faster)]
    began = tracked.first.started[:16].replace("T", " ")
    assert names[0] == f"toys {began} first run"
    assert str(names[1]).endswith(" judge.small.limit")
    assert str(names[2]).endswith(" learn.rate, judge.small.limit"), "which the run before had changed"
    assert run_name(tracked.first.record) == names[0]


def test_all_metrics_stand_in_one_table_and_the_recipe_beside_it(tracked: Tracked, tmp_path: Path) -> None:
    parent = exported(tracked.first).mlflow_run_id
    assert {"metrics.csv", "recipe.yaml"} <= {file.path for file in tracked.client.list_artifacts(parent)}
    table = Path(tracked.client.download_artifacts(parent, "metrics.csv", str(tmp_path))).read_text().splitlines()
    assert table[0] == "stage,metric,value"
    assert {"count,words,4.0", "learn,diverged,nan"} <= set(table)


def test_an_experiment_says_what_it_is_and_has_a_view_of_its_runs_with_their_figures(tracked: Tracked) -> None:
    parents = [parent_of(tracked.database, run) for run in (tracked.first, tracked.limited, tracked.faster)]
    experiment = tracked.client.get_experiment(parents[0].info.experiment_id)
    state = json.loads(json.loads(experiment.tags["mlflow.sharedViewState.folio"])["state"])
    assert "viewStateShareKey=folio" in experiment.tags["mlflow.note.content"] and experiment.tags["folio.recipe"] == experiment.name
    names = {name.removeprefix("metrics.`").removesuffix("`") for name in state["selectedColumns"][1:]}
    assert names and names <= set().union(*(run.data.metrics for run in parents))
    found = tracked.client.search_runs([experiment.experiment_id], state["searchFilter"])
    assert {run.info.run_id for run in found} == {run.info.run_id for run in parents}


def test_inputs_and_outputs_are_data_sets_named_by_our_digests(tracked: Tracked) -> None:
    made, children = tracked.first.artifacts, children_of(tracked.database, tracked.first)
    shown = {name: (given.name, given.digest) for name, given in data_sets(children["judge.small"]).items()}
    wanted = {name: made[position] for name, position in (("model", "learn"), ("words", "collect"), ("output", "judge.small"))}
    assert shown == {name: (artifact.location, artifact.digest[:32]) for name, artifact in wanted.items()}
    part = data_sets(children["count"])["words"]
    assert part.name == f"{made['collect'].location}/words.txt"
    assert json.loads(part.source)["uri"] == f"{tracked.first.store.url}/{part.name}"


def test_a_model_is_ready_without_its_weights_and_shows_what_was_measured_of_it(tracked: Tracked) -> None:
    learned, child = tracked.first.artifacts["learn"], children_of(tracked.database, tracked.first)["learn"]
    assert child.outputs is not None
    (output,) = child.outputs.model_outputs
    model = tracked.client.get_logged_model(output.model_id)
    assert model.status == "READY"
    assert model.tags["folio.digest"] == learned.digest
    assert model.source_run_id == child.info.run_id
    assert [file.path for file in tracked.client.list_logged_model_artifacts(model.model_id)] == ["config.json"]
    assert model.metrics is not None
    measured = {metric.key: metric.value for metric in model.metrics}
    assert measured["loss"] == 1.0, "of its own training"
    assert measured["passed"] == 1.0, "of the stage that judged it"
    parent = parent_of(tracked.database, tracked.first)
    assert parent.outputs is not None
    assert [made.model_id for made in parent.outputs.model_outputs] == [model.model_id]
    assert data_sets(parent)["collect"].digest == tracked.first.artifacts["collect"].digest[:32]


def test_a_model_belongs_to_the_run_that_made_it_though_one_that_reuses_it_is_told_first(
    tracked: Tracked, migrated: Path, tmp_path: Path
) -> None:
    shutil.copy(migrated, tmp_path / "mlflow.db")
    database = f"sqlite:///{tmp_path / 'mlflow.db'}"
    journal, client = Journal(tracked.first.store), MlflowClient(tracking_uri=database)
    maker, user = (RunExport(MlflowDatabase(database, tmp_path / "mlflow"), journal) for _ in range(2))
    first = journal.get(tracked.first.record.id)
    maker.tell(first.model_copy(update={"status": "running", "positions": {}}))
    user.tell(journal.get(tracked.limited.record.id))
    told = maker.tell(first)
    found = client.search_runs([told.experiment_id], f"tags.`folio.run` = '{first.id}' and tags.`folio.position` != ''")
    children = {run.data.tags["folio.position"]: run.info.run_id for run in found}
    assert len(found) == len(children) == len(POSITIONS), "no stage is shown twice"
    (model,) = client.search_logged_models([told.experiment_id])
    assert model.source_run_id == children["learn"]


def test_a_reused_stage_links_the_run_that_made_it_and_its_metrics_stand_on_the_new_parent(tracked: Tracked) -> None:
    parent, children = parent_of(tracked.database, tracked.limited), children_of(tracked.database, tracked.limited)
    assert set(children) == {"collect (reused)", "count (reused)", "learn (reused)", "judge.small"}
    maker = exported(tracked.first).mlflow_run_id
    assert children["learn (reused)"].data.tags["folio.made_by"] == maker
    assert f"/runs/{maker})" in children["learn (reused)"].data.tags["mlflow.note.content"]
    assert children["learn (reused)"].data.tags["folio.kind"] == "reused"
    assert parent.data.metrics["learn.loss"] == 1.0
    assert parent.data.tags["folio.reused"] == "collect, count, learn"
    assert parent.data.tags["folio.executed"] == "judge.small"


def test_a_search_by_digest_finds_every_run_that_used_a_data_set_reused_or_not(tracked: Tracked) -> None:
    counted = tracked.first.artifacts["count"].digest
    found = tracked.client.search_runs([exported(tracked.first).experiment_id], f"dataset.digest = '{counted[:32]}'")
    assert {run.info.run_name for run in found} == {"count", "count (reused)", "learn", "learn (reused)"}


def test_telling_everything_again_changes_no_row(tracked: Tracked) -> None:
    told_again(tracked, tracked.first, release(tracked.first))
    before = rows(tracked.database)
    told_again(tracked, tracked.first, release(tracked.first))
    told_again(tracked, tracked.limited)
    assert rows(tracked.database) == before


def test_an_alias_moves_to_the_newest_run_that_asks_for_it_and_never_back(tracked: Tracked) -> None:
    first, faster = tracked.first.artifacts["learn"].digest, tracked.faster.artifacts["learn"].digest
    versions = [told_again(tracked, run, release(run)) for run in (tracked.first, tracked.faster, tracked.first)]
    assert versions == [{first: "1"}, {faster: "2"}, {first: "1"}]
    champion = tracked.client.get_model_version_by_alias("folio-toys", CHAMPION)
    assert champion.tags["folio.digest"] == faster
    assert champion.source == f"{tracked.first.store.url}/{tracked.faster.artifacts['learn'].location}"
    told_again(tracked, tracked.faster, release(tracked.limited, alias=""))
    assert tracked.client.get_model_version_by_alias("folio-toys", CHAMPION).version == champion.version
    assert len(tracked.client.search_model_versions("name = 'folio-toys'")) == 2


def test_a_lost_database_is_filled_again_from_the_store_with_the_series_and_the_times(
    tracked: Tracked, migrated: Path, tmp_path: Path
) -> None:
    shutil.copy(migrated, tmp_path / "fresh.db")
    fresh = f"sqlite:///{tmp_path / 'fresh.db'}"
    told_again(tracked, tracked.first, database=fresh)
    client = MlflowClient(tracking_uri=fresh)
    experiment = client.get_experiment_by_name("toys")
    assert experiment is not None
    found = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    known = children_of(tracked.database, tracked.first)["learn"]
    again = found["learn"]
    assert (again.info.start_time, again.info.end_time) == (known.info.start_time, known.info.end_time)
    history = client.get_metric_history(again.info.run_id, "train.loss")
    kept = tracked.client.get_metric_history(known.info.run_id, "train.loss")
    assert [(point.step, point.value, point.timestamp) for point in history] == [(p.step, p.value, p.timestamp) for p in kept]


def test_a_run_that_is_told_before_the_one_it_reuses_links_it_all_the_same(worked: Workshop, prefect: None, database: str) -> None:
    user, journal = worked.run(), Journal(worked.opened())
    maker = user.artifacts["learn"].origin.run_id
    assert maker != user.record.id and journal.exported(maker) is None
    journal.owe(maker, [database])
    RunExport(MlflowDatabase(database, worked.home / "mlflow"), journal).tell(journal.get(user.record.id))
    assert journal.owes(maker, database), "its own follower tells the rest"
    told = RunExport(MlflowDatabase(database, worked.home / "mlflow"), journal).tell(journal.get(maker))
    client = MlflowClient(tracking_uri=database)
    reused = client.search_runs([told.experiment_id], f"tags.`folio.run` = '{user.record.id}' and tags.`folio.kind` = 'reused'")
    assert len(reused) == len(POSITIONS) and {run.data.tags["folio.made_by"] for run in reused} == {told.mlflow_run_id}


def test_runs_that_reuse_from_each_other_or_from_themselves_are_told_all_the_same(worked: Workshop, prefect: None, database: str) -> None:
    second, journal = worked.run(Toys(judge=Judge(limit=2))), Journal(worked.opened())
    first = journal.get(second.artifacts["learn"].origin.run_id)
    other = second.record.positions["judge.small"]
    # As when both were under way at once: the first reuses what the second made, and the second what the first made.
    crossed = first.model_copy(update={
        "stages": {position: stage.model_copy(update={"status": "reused"}) for position, stage in first.stages.items()},
        "positions": {**first.positions, "judge.small": other.model_copy(update={"action": "reused"})},
    })  # fmt: skip
    journal.write(crossed)
    for run_id in (first.id, second.record.id):
        journal.owe(run_id, [database])
    export = RunExport(MlflowDatabase(database, worked.home / "mlflow"), journal)
    told = export.tell(crossed)
    after = RunExport(MlflowDatabase(database, worked.home / "mlflow"), journal).tell(journal.get(second.record.id))
    client = MlflowClient(tracking_uri=database)
    found = client.search_runs([told.experiment_id], f"tags.`folio.run` = '{first.id}' and tags.`folio.kind` = 'reused'")
    makers = {run.data.tags["folio.position"]: run.data.tags["folio.made_by"] for run in found}
    assert makers.pop("judge.small") == after.mlflow_run_id and set(makers.values()) == {told.mlflow_run_id}
    parents = client.search_runs([told.experiment_id], "tags.`folio.kind` = 'pipeline'")
    assert {run.info.run_id for run in parents} == {told.mlflow_run_id, after.mlflow_run_id}, "none is shown twice"


@pytest.mark.parametrize("broken", ["body", "commit"])
def test_a_stage_that_does_not_get_there_is_failed_and_so_is_its_parent(
    worked: Workshop, prefect: None, database: str, broken: str
) -> None:
    worked.tracking = database
    if broken == "commit":
        shutil.rmtree(Path(worked.store) / "judge")
        (Path(worked.store) / "judge").write_text("in the way")
    with pytest.raises((ValueError, RuntimeError)) as error:
        worked.run(Toys(judge=Judge(limit=-1 if broken == "body" else 1)))
    journal = Journal(worked.opened())
    record = journal.latest("toys")
    assert record is not None
    assert record.stages["judge.small"].status == "failed"
    RunExport(MlflowDatabase(database, worked.home / "mlflow"), journal).tell(record)
    client = MlflowClient(tracking_uri=database)
    experiment = client.get_experiment_by_name("toys")
    assert experiment is not None
    own = client.search_runs([experiment.experiment_id], f"tags.`folio.run` = '{record.id}'")
    found = {run.info.run_name: run for run in own}
    assert {name: run.info.status for name, run in found.items() if "reused" not in str(name)} == {
        run_name(record): "FAILED",
        "judge.small": "FAILED",
    }
    assert str(error.value)[:40] in found["judge.small"].data.tags["folio.error"]


def test_planning_records_nothing(workshop: Workshop, database: str) -> None:
    workshop.tracking = database
    workshop.plan()
    assert MlflowClient(tracking_uri=database).get_experiment_by_name("toys") is None
    assert workshop.executed == []
    assert not Path(workshop.store).exists()


def test_a_new_database_shows_the_recipes_alone_and_keeps_an_experiment_that_somebody_has_used(tmp_path: Path, migrated: Path) -> None:
    def shown(name: str, *, used: bool) -> set[str]:
        shutil.copy(migrated, tmp_path / name)
        database = MlflowDatabase(f"sqlite:///{tmp_path / name}", tmp_path / "files")
        if used:
            database.client.create_run("0")
        database.experiment("toys")
        return {experiment.name for experiment in database.client.search_experiments()}

    assert shown("new.db", used=False) == {"toys"}
    assert shown("used.db", used=True) == {"toys", "Default"}
