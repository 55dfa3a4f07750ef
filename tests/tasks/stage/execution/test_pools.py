"""A job for another work pool travels as plain JSON and makes there what the run itself would make."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from prefect import flow

from flows.recipe.loading import load
from flows.recipe.validation import RecipeError
from model.evaluation.gate import Bound, GateConfig
from tasks.gate import gate
from tasks.project import FOLIO
from tasks.stage.execution.execute_stage import execute_stage
from tasks.stage.execution.job import BufferedReporter, JobContext, StageJob
from tasks.stage.execution.pools.run_side import EVENTS, JOB, RESULT, JobFile, PoolError, Result
from tasks.stage.execution.pools.worker_side import work_on
from tasks.stage.execution.resources import Resources
from tasks.stage.execution.run import PipelineRun
from tasks.stage.execution.run_context import open_run
from tasks.stage.identity.tracing.libraries import installed
from tasks.stage.store.store import Store
from tests.tasks.records import OnlyWriter, committed
from tests.tasks.toys import Workshop

METRICS = {"metrics.json": b'{"loss": 0.5}'}


def job_of(run: PipelineRun, config: GateConfig) -> StageJob:
    """Return the job of judging some metrics in a run."""
    call = gate.at("small").decide_call(run, config, {"base": committed(run.store, METRICS, stage="evaluate")}, None)
    versions = installed(run.traces.cache).versions
    context = JobContext(run.store, run.root, run.home, run.record.id, run.started, run.traces, versions)
    return StageJob(context, call, run.resources, BufferedReporter())


def test_a_worker_makes_of_a_job_s_file_what_the_run_would_make(tmp_path: Path) -> None:
    config, made = GateConfig(bounds=(Bound(metric="base.loss", maximum=1),)), []
    for name in ("here", "there"):
        settings = {"project": FOLIO, "root": tmp_path, "home": tmp_path / "home", "store": str(tmp_path / name), "tracking": ""}
        with open_run(name="toys", resources=Resources(), parameters={}, **settings) as run:  # type: ignore[arg-type]
            job, folder = job_of(run, config), tmp_path / "job"
            if name == "here":
                made.append(execute_stage(job.context, job.call, job.resources, job.reporter, OnlyWriter("0" * 32), None))
                continue
            folder.mkdir()
            (folder / JOB).write_text(JobFile.of(job).model_dump_json())
            work_on(folder)
            result = Result.model_validate_json((folder / RESULT).read_bytes())
            assert result.executed and result.artifact is not None
            made.append(result.artifact)
            events = [json.loads(line) for line in (folder / EVENTS).read_text().splitlines()]
            assert {"kind": "log", "text": "gate.small: runs because it has never run"} in events
    here, there = made
    assert (there.key, there.digest, there.address, there.config) == (here.key, here.digest, here.address, here.config)
    assert there.origin.run_id == run.record.id
    assert Store(str(tmp_path / "there"), tmp_path / "cache").check(there, digests=True) == ()


def test_the_error_of_a_stage_and_whether_it_is_transient_come_back_with_the_result(tmp_path: Path) -> None:
    settings = {"project": FOLIO, "root": tmp_path, "home": tmp_path / "home", "store": str(tmp_path / "store"), "tracking": ""}
    with open_run(name="toys", resources=Resources(), parameters={}, **settings) as run:  # type: ignore[arg-type]
        job = job_of(run, GateConfig(bounds=(Bound(metric="base.loss", maximum=1),)))
        (tmp_path / JOB).write_text(JobFile.of(job).model_copy(update={"root": tmp_path / "unseen"}).model_dump_json())
        with pytest.raises(RuntimeError, match="workers must see the root"):
            work_on(tmp_path)
    error = Result.model_validate_json((tmp_path / RESULT).read_bytes()).error
    assert error is not None and "unseen" in error["message"] and error["transient"] is False


def test_a_pool_without_a_deployment_is_named_before_anything_runs(workshop: Workshop) -> None:
    workshop.resources = Resources(pools={"learn": "moon"})
    with pytest.raises(PoolError, match=r"learn should run in work pool moon, but there is no deployment folio-stage/moon"):
        workshop.run()
    assert workshop.executed == ["collect", "count"]


def test_a_pool_without_a_worker_ends_the_run_after_the_wait_that_the_recipe_gives(workshop: Workshop) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate

    @flow(name="folio-stage")
    def stage_job(position: str, job: str) -> None:
        """Stand for the flow that a worker would run."""

    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="moon", type="process"), overwrite=True)
        flow_id = client.create_flow(stage_job)
        client.create_deployment(flow_id=flow_id, name="moon", work_pool_name="moon", entrypoint="flows/deployed.py:stage_job")
    workshop.resources = Resources(pools={"learn": "moon"}, pool_wait_minutes=0.02)
    with pytest.raises(PoolError, match=r"no worker of pool moon came within 0:01 .*prefect worker start --pool moon"):
        workshop.run()
    with get_client(sync_client=True) as client:
        (sent,) = [run for run in client.read_flow_runs() if run.name == "learn"]
    assert sent.state is not None and sent.state.is_cancelled()


def test_a_stage_that_works_shard_by_shard_can_not_be_sent_to_a_pool() -> None:
    with pytest.raises(RecipeError, match="clean is none of the stages that can run in another work pool"):
        load("four_books", ("resources.pools.clean=gpu",))
    assert load("four_books", ("resources.pools.tune=gpu",)).resources.pools == {"tune": "gpu"}
