"""Shards in other processes: keys and bytes as in threads, and no shard lost or half made whatever happens to a worker."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from distributed import LocalCluster
from mlflow.tracking import MlflowClient
from pydantic import BaseModel

from tasks.stage.execution import execute, worker_pool
from tasks.stage.execution.job import WorkerMismatch
from tasks.stage.execution.resources import ClusterError, Resources
from tasks.stage.execution.run import PipelineRun
from tasks.stage.execution.worker_pool import start_workers
from tasks.stage.identity.tracing.libraries import installed
from tasks.stage.stage import stage
from tests.tasks.exported import children_of, parent_of
from tests.tasks.stage.execution.test_run import prefect_states
from tests.tasks.toy_bodies import Nothing
from tests.tasks.toys import Toys, Workshop

SOURCE = """
import os, signal, time
from tasks.stage.stage import stage

@stage()
def read(config, work):
    import pydantic

    book = work.root / f"{work.shard.number}.txt"
    text = pydantic.TypeAdapter(str).validate_python(book.read_text())
    if text == "deadly" or text == "deadly once":
        book.write_text(text.replace("deadly once", "text"))
        os.kill(int(os.environ["FOLIO_RUN"]), signal.SIGKILL)
    if text == "bad":
        raise ValueError(f"{book.name} is bad")
    if text == "long":
        book.with_suffix(".begun").touch()
        while len(list(work.root.glob("*.begun"))) < 2:  # the other may start late
            time.sleep(0.05)
        time.sleep(1.0)
    (work.output / "text.txt").write_text(f"{work.shard.number} {text}")
    (work.output / "logs").mkdir()
    (work.output / "logs" / "process.txt").write_text(os.environ["FOLIO_RUN"])
    work.series([("read.step", float(work.shard.number), work.shard.number)])
    return {"letters": len(text), "threads": work.resources.cores}

@stage()
def bind(config, work, text):
    (work.output / "book.txt").write_text(" ".join(path.read_text() for path in text))
    return {}
"""
SHARDS = 3
POSITIONS = [*(f"read[{number}]" for number in range(SHARDS)), "bind"]


class Library(Workshop):
    """read x 3 -> bind."""

    first = SOURCE

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        super().__init__(folder, patch)
        for number in range(SHARDS):
            self.write(number, "text")

    def write(self, number: int, text: str) -> None:
        """Give a shard its text."""
        (self.root / f"{number}.txt").write_text(text)

    def _compose(self, recipe: Toys) -> None:
        read = self.stages.read.over(SHARDS)(Nothing())
        self.stages.bind(Nothing(), text=read.part("text.txt"))

    def kept(self) -> set[str]:
        """The positions that the store has an artifact for."""
        return set(self.made())

    def processes(self, run: PipelineRun) -> set[int]:
        """Who made the shards of a run."""
        shards = (self.folder_of(run.artifacts[position]) for position in POSITIONS[:SHARDS])
        return {int((folder / "logs" / "process.txt").read_text()) for folder in shards}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A Dask cluster of two processes that was started before any run, like one on other machines."""
    with LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, memory_limit=0, silence_logs=50) as made:
        yield made


@pytest.fixture
def library(tmp_path: Path, prefect: None, monkeypatch: pytest.MonkeyPatch, cluster: Any) -> Library:
    library = Library(tmp_path, monkeypatch)
    library.resources = Resources(runner="dask", cluster=cluster.scheduler_address)
    return library


def same(one: PipelineRun, other: PipelineRun) -> bool:
    """Return whether two runs have the same addresses and bytes at every position."""
    return {p: (a.address, a.digest) for p, a in one.artifacts.items()} == {p: (a.address, a.digest) for p, a in other.artifacts.items()}


@pytest.mark.slow
def test_workers_make_what_threads_make_and_their_tasks_and_series_are_shown(library: Library, database: str) -> None:
    library.tracking = database
    run = library.run()
    assert len(library.processes(run)) == 2
    assert os.getpid() not in library.processes(run)
    assert {run.artifacts[position].metrics["threads"] for position in POSITIONS[:SHARDS]} == {1.0}
    assert prefect_states(run) == dict.fromkeys(POSITIONS, "Completed")
    client, mine = MlflowClient(tracking_uri=database), children_of(database, run)["read"].info.run_id
    assert {run.artifacts[position].origin.run_id for position in POSITIONS[:SHARDS]} == {run.record.id}
    assert {(metric.step, metric.value) for metric in client.get_metric_history(mine, "read.step")} == {(0, 0.0), (1, 1.0), (2, 2.0)}
    assert parent_of(database, run).data.metrics["read.letters"] == 12.0
    again = library.run()
    assert again.reused == set(POSITIONS)
    assert prefect_states(again) == dict.fromkeys(POSITIONS, "Cached")
    library.store, library.resources, library.tracking = str(library.folder / "other"), Resources(threads=2), ""
    threaded = library.run()
    assert library.processes(threaded) == {os.getpid()}
    assert same(threaded, run)


@pytest.mark.slow
def test_a_shard_whose_worker_is_killed_is_made_by_another(library: Library) -> None:
    library.write(1, "deadly once")
    library.run()
    assert library.kept() == set(POSITIONS)


@pytest.mark.slow
def test_a_shard_that_kills_every_worker_ends_the_run_by_name_and_the_same_command_goes_on(library: Library, cluster: Any) -> None:
    library.write(1, "deadly")
    lost = r"^read\[1\]: the cluster lost this shard \(KilledWorker.*run the same command to continue"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(ClusterError, match=lost):
        patch.setattr(cluster.scheduler, "allowed_failures", 0)
        library.run()
    assert "read[0]" in library.kept()
    assert "read[1]" not in library.kept()
    assert not list(Path(library.store).glob("read/toys-1-*"))
    library.write(1, "text")
    assert "read[0]" in library.run().reused


def test_an_error_in_a_worker_is_the_error_of_the_run(library: Library) -> None:
    library.write(1, "bad")
    with pytest.raises(ValueError, match=r"1.txt is bad") as caught:
        library.run()
    assert caught.value.__notes__ == ["It happened in read"]


def test_ctrl_c_lets_the_shards_at_work_come_to_their_end_and_begins_no_other(library: Library) -> None:
    library.write(0, "long")
    library.write(1, "long")

    def interrupt() -> None:
        while not all((library.root / f"{number}.begun").exists() for number in (0, 1)):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        library.run()
    assert library.kept() == {"read[0]", "read[1]"}


@pytest.mark.slow
def test_workers_execute_the_source_of_the_run_whatever_they_executed_before(library: Library) -> None:
    library.run()
    library.edit('f"{work.shard.number} {text}"', 'f"{text} {work.shard.number}"')
    run = library.run()
    assert (library.folder_of(run.artifacts["bind"]) / "book.txt").read_text() == "text 0 text 1 text 2"


@pytest.mark.slow
def test_a_worker_with_other_libraries_is_refused_by_name_and_makes_nothing(library: Library) -> None:
    known = installed()
    other = replace(known, versions={**known.versions, "pydantic": "0.0.1"})
    library.patch.setattr(execute, "installed", lambda cache: other)
    with pytest.raises(WorkerMismatch, match=r"read\[\d\]: the worker on .* has pydantic [\d.]+ instead of 0.0.1; install"):
        library.run()
    assert not library.kept()


@pytest.mark.slow
def test_a_worker_that_does_not_see_the_places_of_the_run_says_which(library: Library) -> None:
    library.root = library.folder / "elsewhere"
    with pytest.raises(WorkerMismatch, match=r"has no .*/elsewhere; workers must see the root"):
        library.run()


def test_a_cluster_that_does_not_answer_is_named(library: Library) -> None:
    library.resources = Resources(runner="dask", cluster="tcp://127.0.0.1:1")
    with (
        pytest.MonkeyPatch.context() as patch,
        pytest.raises(ClusterError, match=r"resources.runner=dask: the Dask cluster at tcp://127.0.0.1:1 can't be reached"),
    ):
        patch.setattr(worker_pool, "CONNECT_TIMEOUT", "1s")
        library.run()


def test_a_missing_extra_is_refused_with_the_command_before_anything_is_made(library: Library) -> None:
    library.patch.setitem(sys.modules, "prefect_dask", None)
    with pytest.raises(ClusterError, match=r"resources.runner=dask needs an extra .*: pip install -e '\.\[dask\]'"):
        library.run()
    assert not library.kept()


def test_a_store_that_no_other_process_sees_is_refused(library: Library) -> None:
    library.store = "memory://alone"
    with pytest.raises(ClusterError, match="can't work on the store memory://alone: no other process sees it"):
        library.run()


@pytest.mark.parametrize(("runner", "address"), [("dask", "ray://head:10001"), ("ray", "tcp://head:8786")])
def test_an_address_of_another_kind_of_cluster_is_refused(runner: Any, address: str) -> None:
    with pytest.raises(ValueError, match=f"cluster='{address}' is not an address for runner={runner}"):
        Resources(runner=runner, cluster=address)


def test_a_stage_that_makes_a_model_has_no_shards() -> None:
    @stage(model=True)
    def learn(config: BaseModel, work: Any) -> dict[str, float]:
        return {}

    with pytest.raises(ValueError, match="learn: a model is made whole"):
        learn.over(2)


def listening() -> set[str]:
    """Return the addresses on which this process and its children listen."""
    me = psutil.Process()
    found = (connection for process in (me, *me.children(recursive=True)) for connection in process.net_connections("inet"))
    return {connection.laddr.ip for connection in found if connection.status == psutil.CONN_LISTEN}


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["dask", "ray"])
def test_workers_on_this_machine_listen_on_loopback_alone(runner: Any, tmp_path: Path, prefect: None) -> None:
    with start_workers(Resources(runner=runner, threads=1), tmp_path / "workers") as workers:
        assert workers.slots() == 1
        assert listening() <= {"127.0.0.1", "::ffff:127.0.0.1"}
        if runner == "dask":
            assert workers.runner.client.scheduler.address.startswith("tls://127.0.0.1:")  # type: ignore[attr-defined]
