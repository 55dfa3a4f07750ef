"""Runs shards in threads of this process or in worker processes of a Dask or Ray cluster, all through Prefect's task runners.

Workers start when a shard must run, and end with the run. At most as many shards are submitted at a time as there are
workers, so a run that ends leaves nothing queued; shards that are running are finished and kept. Dask or Ray gives a shard whose worker
dies to another one, three times; then the run ends with an error that names the shard, and the same command continues.
A worker process on this machine costs 3 to 6 seconds and about 250 MB, and pays off where shards hold Python's lock for long; SQL does
not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Self
from uuid import UUID

from tasks.stage.execution.clusters import LIBRARIES, WorkerGroup, start_workers
from tasks.stage.execution.job import Outcome, StageJob
from tasks.stage.execution.resources import ClusterError, Resources
from tasks.stage.execution.task_graph import TaskGraph
from tasks.stage.store.artifact import without_shard
from tasks.stage.store.store import Store
from tasks.stage.system.interrupts import raise_if_interrupted
from tasks.stage.system.progress import log

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
