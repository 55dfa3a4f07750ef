"""Run shards in threads of this process or in worker processes of a Dask or Ray cluster, through Prefect's task runners.

Workers start when a shard must run, and end with the run. At most as many shards are submitted at a time as there are
workers, so a run that ends leaves nothing queued; shards that are running are finished and kept. Dask or Ray gives a shard whose worker
dies to another one, three times; then the run ends with an error that names the shard, and the same command continues.
A worker process on this machine costs 3 to 6 seconds and about 250 MB, and pays off where shards hold Python's lock for long; SQL does
not.

A cluster on this machine listens on loopback only, serves no page, sends no telemetry and takes work from this run only: Dask by TLS with
certificates made for it, Ray by a token. The security of an existing cluster is up to its owner; the settings of Dask
(`DASK_DISTRIBUTED__COMM__TLS__...`) and Ray (`RAY_AUTH_MODE`, `RAY_AUTH_TOKEN`) tell this process how to authenticate there.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from tasks.stage.execution.job import Outcome, StageJob
from tasks.stage.execution.resources import ClusterError, Resources
from tasks.stage.store.artifact import Artifact, ArtifactPart, without_shard
from tasks.stage.store.store import Store
from tasks.stage.system.interrupts import interrupts_kept_away, raise_if_interrupted
from tasks.stage.system.progress import log

if TYPE_CHECKING:
    from prefect.client.schemas.objects import RunInput
    from prefect.task_runners import TaskRunner


class TaskGraph:
    """The task runs of a run, by the artifacts that they returned, reused or made."""

    def __init__(self) -> None:
        self._returned: dict[str, UUID] = {}

    def returned(self, artifact: Artifact, task_run: UUID) -> None:
        """Record that a task run returned an artifact."""
        self._returned[artifact.location] = task_run

    def inputs(self, given: Iterable[Artifact | ArtifactPart]) -> dict[str, set[RunInput]]:
        """Return the task runs that returned these artifacts, as inputs of the parameter `job` of a stage's task."""
        # A body's process imports this module as well, and needs nothing of Prefect.
        from prefect.client.schemas.objects import TaskRunResult

        locations = {(item.artifact if isinstance(item, ArtifactPart) else item).location for item in given}
        return {"job": {TaskRunResult(id=self._returned[location]) for location in locations & self._returned.keys()}}


LIBRARIES = ("distributed", "ray")
LOOPBACK = "127.0.0.1"
CONNECT_TIMEOUT = "20s"
OBJECT_STORE_BYTES = 100 * 2**20
"""Bytes of memory that Ray shares among its processes: only jobs and records pass through it."""


@dataclass(frozen=True)
class WorkerGroup:
    """A task runner that has started. `slots`: how many shards it works on at once, which may change over time."""

    name: str
    runner: TaskRunner[Any]
    slots: Callable[[], int]


def start_workers(resources: Resources, folder: Path) -> AbstractContextManager[WorkerGroup]:
    """Start or reach the workers, and release them when the block ends. Raises ClusterError. `folder`: where local workers may write.

    Ctrl-C and a hang-up concern the run alone, which lets its workers finish their shards.
    """
    if resources.runner == "dask":
        return _dask(resources, folder)
    if resources.runner == "ray":
        return _ray(resources)
    return _threads(resources)


@contextmanager
def _threads(resources: Resources) -> Iterator[WorkerGroup]:
    from prefect.task_runners import ThreadPoolTaskRunner

    runner: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=resources.cores)
    with runner:
        yield WorkerGroup("threads", runner, lambda: resources.cores)


@contextmanager
def _dask(resources: Resources, folder: Path) -> Iterator[WorkerGroup]:
    from multiprocessing import resource_tracker

    import dask
    from distributed.security import Security
    from prefect_dask import DaskTaskRunner

    if resources.cluster:
        runner = DaskTaskRunner(address=resources.cluster, client_kwargs={"timeout": CONNECT_TIMEOUT})
    else:
        folder.mkdir(parents=True, exist_ok=True)
        local = {
            "n_workers": resources.cores,
            "threads_per_worker": 1,
            # The body of a stage is told what it may use; Dask would kill a worker for using it.
            "memory_limit": 0,
            "host": LOOPBACK,
            "dashboard_address": None,
            "scheduler_kwargs": {"dashboard_address": f"{LOOPBACK}:0"},
            "security": Security.temporary(),
            "local_directory": str(folder),
            "silence_logs": logging.CRITICAL,
        }
        runner = DaskTaskRunner(cluster_kwargs=local)
    # The scheduler's web server can't be turned off, so it gets a free port and nothing to serve.
    with runner:
        # If Dask started it, signals would reach every process started after it.
        resource_tracker.ensure_running()
        with _as_cluster_error(resources), interrupts_kept_away(), dask.config.set({"distributed.scheduler.http.routes": []}):
            client = runner.client
        yield WorkerGroup(_name(resources), runner, lambda: max(1, sum(client.nthreads().values())))


@contextmanager
def _ray(resources: Resources) -> Iterator[WorkerGroup]:
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if not resources.cluster:
        # Ray reads these when it is imported. Despite its name, the first switch is what keeps it on loopback.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Otherwise a shard that always runs out of memory would be retried forever.
        os.environ.setdefault("RAY_task_oom_retries", "3")
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        options |= {
            "num_cpus": resources.cores,
            "include_dashboard": False,
            "object_store_memory": OBJECT_STORE_BYTES,
            "_node_ip_address": LOOPBACK,
        }
    import ray
    from prefect_ray import RayTaskRunner

    runner = RayTaskRunner(address=resources.cluster or None, init_kwargs=options)
    with _as_cluster_error(resources), interrupts_kept_away():
        runner.__enter__()
    try:
        yield WorkerGroup(_name(resources), runner, lambda: max(1, int(ray.cluster_resources().get("CPU", 1))))
    finally:
        runner.__exit__(None, None, None)


def _name(resources: Resources) -> str:
    kind = resources.runner.capitalize()
    return f"the {kind} cluster at {resources.cluster}" if resources.cluster else f"{resources.cores} {kind} workers on this machine"


@contextmanager
def _as_cluster_error(resources: Resources) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        what = f"{_name(resources)} can't be reached" if resources.cluster else f"{_name(resources)} can't be started"
        first = next(iter(str(error).splitlines()), "")
        raise ClusterError(f"resources.runner={resources.runner}: {what} ({type(error).__name__}: {first}).") from error


if TYPE_CHECKING:
    from prefect import Task
    from prefect.futures import PrefectFuture

    Future = PrefectFuture[Outcome]

Done = Callable[[StageJob, Outcome, UUID], None]


class WorkerPool:
    """The workers of a run, from their first use until the block ends."""

    def __init__(self, resources: Resources, home: Path, store: Store) -> None:
        self.resources, self.elsewhere = resources, resources.runner != "threads"
        self._home, self._store, self._stack = home, store, ExitStack()
        self._workers: WorkerGroup | None = None

    def __enter__(self) -> Self:
        """Raise ClusterError for an extra that is not installed, and for a store that only this process sees."""
        self.resources.require_extra()
        if self.elsewhere:
            url = self._store.url
            if url.startswith("memory:"):
                raise ClusterError(f"resources.runner={self.resources.runner} can't work on the store {url}: no other process sees it")
            self._home.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._workers = None
        self._stack.close()

    def takes(self, due: int) -> bool:
        """Return whether this many shards go to the pool: a single one runs in the run itself, unless there is a cluster already."""
        return due > 1 or (due == 1 and bool(self.resources.cluster))

    def share(self, due: int) -> Resources:
        """Return what each of this many shards may use."""
        return self.resources.shared(max(1, min(self.resources.cores, due)))

    def run(self, task: Task[..., Outcome], jobs: Sequence[StageJob], done: Done, graph: TaskGraph) -> None:
        """Run all jobs, in any order, and call `done` after each with the id of its task run.

        Raises the first error, once the jobs that are running have ended.
        """
        workers = self._start(jobs)
        queued = list(jobs)
        running: dict[Future, StageJob] = {}
        ended: SimpleQueue[Future] = SimpleQueue()
        try:
            while queued or running:
                raise_if_interrupted()
                while queued and len(running) < workers.slots():
                    job = queued.pop(0)
                    future: Future = workers.runner.submit(task, job.parameters(), dependencies=graph.inputs(job.call.given().values()))
                    running[future] = job
                    future.add_done_callback(ended.put)
                future = ended.get()
                job = running.pop(future)
                done(job, _result(future, job), future.task_run_id)
        except BaseException:
            for future, job in running.items():
                # Only the first error is raised; a shard that fails after it will fail again in the next run.
                with suppress(Exception):
                    done(job, future.result(), future.task_run_id)
            raise

    def _start(self, jobs: Sequence[StageJob]) -> WorkerGroup:
        if self._workers is None:
            self._workers = self._stack.enter_context(start_workers(self.resources, self._home / "cache" / "workers"))
        if self.elsewhere:
            position = without_shard(jobs[0].call.decision.position)
            log(f"{position}: {len(jobs)} shards go to {self._workers.name}")
        return self._workers


def _result(future: Future, job: StageJob) -> Outcome:
    try:
        return future.result()
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in LIBRARIES:
            raise
        first = next(iter(str(error).splitlines()), "")
        raise ClusterError(
            f"{job.call.decision.position}: the cluster lost this shard ({type(error).__name__}: {first}). A worker that dies each time "
            "usually lacks memory: lower resources.memory or resources.threads. Finished work is kept; run the same command to continue."
        ) from error
