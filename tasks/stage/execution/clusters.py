"""Prefect's task runners as folio sets them up: threads, Dask or Ray, on this machine or on an existing cluster.

A cluster on this machine listens on loopback only, serves no page, sends no telemetry and takes work from this run only: Dask by TLS with
certificates made for it, Ray by a token. The security of an existing cluster is up to its owner; the settings of Dask
(`DASK_DISTRIBUTED__COMM__TLS__...`) and Ray (`RAY_AUTH_MODE`, `RAY_AUTH_TOKEN`) tell this process how to authenticate there.
"""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.stage.execution.resources import ClusterError, Resources
from tasks.stage.system.interrupts import interrupts_kept_away

if TYPE_CHECKING:
    from prefect.task_runners import TaskRunner

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
