"""A run executes each stage once, reuses intact artifacts, and commits nothing of a stage that failed."""

from __future__ import annotations

import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.stage.execution.run import PipelineRun
from tasks.stage.identity.digests import DigestCache, _row, _signature
from tasks.stage.store.artifact import RECORD
from tests.tasks.toy_bodies import Collect, Judge, Learn
from tests.tasks.toys import BODIES, POSITIONS, Toys, Workshop


def prefect_states(run: PipelineRun) -> dict[str, str]:
    """Return task name -> state of a run's tasks on Prefect's server, once it has all of them and they have ended."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter

    with get_client(sync_client=True) as client:
        for _ in range(600):
            tasks = client.read_task_runs(flow_run_filter=FlowRunFilter.model_validate({"id": {"any_": [run.record.flow_run_id]}}))
            if len(tasks) >= len(run.artifacts) and all(task.state and task.state.is_final() for task in tasks):
                return {task.name: str(task.state_name) for task in tasks}
            time.sleep(0.1)
    raise AssertionError(f"Prefect knows of {sorted(task.name for task in tasks)} only")


def made(run: PipelineRun) -> dict[str, tuple[str, str, str]]:
    """Return execution, bytes, location and time of the artifact at each position of a run."""
    return {position: (artifact.address, artifact.digest, artifact.origin.created) for position, artifact in run.artifacts.items()}


def test_a_second_run_reuses_every_artifact_and_prefect_shows_its_tasks_as_cached(workshop: Workshop) -> None:
    first = workshop.run()
    assert workshop.executed == list(BODIES)
    second = workshop.run()
    assert workshop.executed == []
    assert made(second) == made(first)
    assert second.reused == set(POSITIONS)
    assert prefect_states(second) == dict.fromkeys(POSITIONS, "Cached")


def test_artifacts_are_reused_when_prefect_has_lost_its_results_and_when_the_run_has_another_root(workshop: Workshop) -> None:
    first = workshop.run()
    assert workshop.executed == list(BODIES)
    for result in (workshop.home / "prefect-results").iterdir():
        result.unlink()
    workshop.root = workshop.folder / "elsewhere"
    assert made(workshop.run()) == made(first)
    assert workshop.executed == []


def test_a_stage_that_raises_commits_nothing_and_what_came_before_it_stays(workshop: Workshop) -> None:
    with pytest.raises(ValueError, match=r"judge.limit=-1 is below 0"):
        workshop.run(Toys(judge=Judge(limit=-1)))
    stored = {path.parent.name for path in Path(workshop.store).glob(f"*/*/{RECORD}")}
    assert not (Path(workshop.store) / "judge").exists()
    assert len(stored) == 3
    assert workshop.executed == list(BODIES)
    workshop.run()
    assert workshop.executed == ["judge"]
    assert not list((Path(workshop.store) / "judge").glob("*/half.txt"))


@pytest.mark.parametrize("harm", ["shorter", "missing", "touched", "record"])
def test_a_damaged_artifact_is_put_aside_with_a_message_and_made_again(
    worked: Workshop, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = worked.made()["learn"]
    target = worked.folder_of(before) / (RECORD if harm == "record" else "model.bin")
    if harm == "missing":
        target.unlink()
    else:
        target.write_text("x" * (target.stat().st_size if harm == "touched" else 3))
        os.utime(target, (time.time() + 5, time.time() + 5))
    with caplog.at_level(logging.INFO, "folio"):
        again = worked.run()
    assert worked.executed == ["learn"]
    assert again.artifacts["learn"].digest == before.digest
    said = next(r.getMessage() for r in caplog.records if "was damaged" in r.getMessage())
    assert before.location in said
    assert "is made again" in said
    aside = list((Path(worked.store) / ".quarantine").iterdir())
    assert len(aside) == 1
    assert (aside[0] / "damage.txt").read_text() in said


def upper(path: Path) -> None:
    """Change a file, keeping its size and modification time."""
    before = path.stat()
    path.write_text(path.read_text().upper())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_an_edit_that_keeps_the_size_and_sets_the_time_back_is_found_and_its_stage_alone_runs_again(worked: Workshop) -> None:
    made_first = worked.made()["count"]
    upper(worked.folder_of(made_first) / "counts.json")
    again = worked.run()
    assert worked.executed == ["count"]
    assert again.artifacts["count"].digest == made_first.digest


def test_verification_finds_what_the_disk_changed_by_itself(worked: Workshop) -> None:
    made_first = worked.made()["count"]
    target = worked.folder_of(made_first) / "counts.json"
    upper(target)
    # A decaying disk leaves no trace in a file's times, so what was remembered of the file still seems to hold.
    (expected,) = (file.sha256 for file in made_first.files if file.path == "counts.json")
    DigestCache(worked.home / "cache" / "digests.db")._store([_row(target, _signature(target.stat()), expected)])
    worked.run()
    assert worked.executed == []
    again = worked.run(verify=True)
    assert worked.executed == ["count"]
    assert again.artifacts["count"].digest == made_first.digest


def test_a_refresh_runs_the_stage_it_names_and_equal_bytes_stop_there(worked: Workshop) -> None:
    worked.run(refresh=frozenset({"learn"}))
    assert worked.executed == ["learn"]
    worked.run(refresh=frozenset({"judge.small"}))
    assert worked.executed == ["judge"]


class ReleasesOnWaiting(logging.Handler):
    """Releases held bodies once a run logs that it waits for another."""

    def __init__(self, workshop: Workshop) -> None:
        super().__init__()
        self.workshop = workshop

    def emit(self, record: logging.LogRecord) -> None:
        if "another run is making this; waiting for it" in record.getMessage():
            self.workshop.release()


def test_two_runs_that_want_one_key_at_once_make_it_once(workshop: Workshop) -> None:
    handler, logger = ReleasesOnWaiting(workshop), logging.getLogger("folio")
    logger.addHandler(handler)
    workshop.hold()
    try:
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(lambda _: workshop.run(), range(2))
    finally:
        workshop.release()
        logger.removeHandler(handler)
    assert sorted(workshop.executed) == sorted(BODIES)
    assert made(first) == made(second)


def test_a_metric_that_is_no_number_is_kept_and_its_artifact_is_reused(workshop: Workshop) -> None:
    run = workshop.run()
    assert workshop.executed == list(BODIES)
    assert run.artifacts["learn"].metrics["diverged"] != run.artifacts["learn"].metrics["diverged"]
    workshop.run()
    assert workshop.executed == []


@pytest.mark.slow
def test_a_store_in_memory_serves_a_run_as_a_disk_does(workshop: Workshop) -> None:
    workshop.store = f"memory://{workshop.folder.name}"
    first = workshop.run()
    assert workshop.executed == list(BODIES)
    workshop.run(Toys(learn=Learn(rate=0.25)))
    assert workshop.executed == ["learn", "judge"]
    assert made(workshop.run()) == made(first)
    assert workshop.executed == []


def test_a_stage_called_outside_of_a_run_says_where_to_call_it(workshop: Workshop) -> None:
    with pytest.raises(RuntimeError, match="outside of a run"):
        workshop.stages.collect(Collect())


def test_an_edit_made_while_a_run_is_under_way_changes_nothing_of_that_run(workshop: Workshop) -> None:
    workshop.hold()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(workshop.run)
        while not workshop.begun:
            time.sleep(0.01)
        workshop.code.write_text(workshop.source.replace("json.dumps([counts, rate])", "json.dumps([rate, counts])"))
        workshop.release()
        run = running.result()
    assert (workshop.folder_of(run.artifacts["learn"]) / "model.bin").read_text().endswith("0.5].")
    planned = {decision.position: decision for decision in workshop.plan()}
    assert [position for position in POSITIONS if planned[position].action != "reuse"] == ["learn", "judge.small"]
    assert planned["learn"].causes == ("ran `weights` in toystages.py, which changed",)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_ctrl_c_that_arrives_in_a_finalizer_stops_the_run_before_its_next_stage(workshop: Workshop) -> None:
    lost = """
    import os, signal
    class Dropped:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)
    dropped = Dropped()
    del dropped
    executed("count")"""
    workshop.edit('\n    executed("count")', lost)
    with pytest.raises(KeyboardInterrupt):
        workshop.run()
    assert workshop.executed == ["collect", "count"]
    assert set(workshop.made()) == {"collect", "count"}
