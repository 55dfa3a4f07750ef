"""The machine resources that a run may use. None can change a byte of an artifact, so none is part of its identity."""

from __future__ import annotations

import os
import re
from importlib.util import find_spec
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, Field, model_validator

SCHEMES = {"dask": ("tcp", "tls", "ws", "wss", "ucx"), "ray": ("ray",)}


class ClusterError(RuntimeError):
    """A cluster can't be used, started or reached, or has lost a shard."""


class Resources(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Threads, memory, and where shards are worked on. A pipeline adds what its own stages need in a subclass."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {"cluster": ("runner=dask", "runner=ray"), "pool_wait_minutes": ("pools",)}

    threads: int = Field(0, ge=0, description="threads of one process; 0 means all cores, on an existing cluster one for each shard")
    memory: str = Field(
        "4GB",
        pattern=r"^[0-9]+(\.[0-9]+)? ?[kKMGT]i?B$",
        description="DuckDB's memory limit, shared by shards that are worked on at once here, for each shard on an existing cluster; "
        "it spills to the store's disk beyond that",
    )
    retries: int = Field(
        3,
        ge=0,
        le=10,
        description="how often a stage is run again after a fault that may pass by itself, such as a time-out of the network or an object "
        "store that is overloaded; 2, 4, 8 ... seconds apart, at most 60; number, 0 for never",
    )
    notify: str = Field(
        "",
        pattern=r"^([a-z0-9-]+/[a-z0-9-]+)?$",
        description="Prefect's notification block that is told when a gate awaits a person's approval, such as slack-webhook/team: its "
        "type and its name; empty: the log and the state of the flow run say it",
    )
    runner: Literal["threads", "dask", "ray"] = Field(
        "threads",
        description="who works on shards: threads of this process, or worker processes of Dask or Ray (pip install -e '.[dask]' or "
        "-e '.[ray]'), each on one shard at a time",
    )
    cluster: str = Field(
        "",
        description="address of an existing cluster, such as tcp://host:8786 (Dask) or ray://host:10001 (Ray), whose workers see the root, "
        "folio's home and the store at the same paths; empty: a cluster on this machine for the run, one worker a core",
    )

    pools: dict[str, str] = Field(
        default_factory=dict,
        description="stages that run in a worker of another work pool, which sees the root, folio's home and the store at the same paths, "
        "such as {pretrain: gpu, tune: gpu}; stage -> name of a Prefect work pool",
    )
    pool_wait_minutes: float = Field(
        10, gt=0, description="longest wait for a work pool with no worker online; busy workers don't count against it; minutes"
    )

    @model_validator(mode="after")
    def _address_fits(self) -> Self:
        scheme, found, _ = self.cluster.partition("://")
        known = SCHEMES.get(self.runner, ())
        if found and known and scheme not in known:
            fits = " or ".join(f"{name}://" for name in known[:2])
            raise ValueError(f"cluster={self.cluster!r} is not an address for runner={self.runner}; begin it with {fits}, or with the host")
        return self

    def require_extra(self) -> None:
        """Raise ClusterError, with the command to install it, if the runner is not installed."""
        if self.runner != "threads" and find_spec(f"prefect_{self.runner}") is None:
            raise ClusterError(f"resources.runner={self.runner} needs an extra that is not installed: pip install -e '.[{self.runner}]'")

    @property
    def cores(self) -> int:
        """Threads to use, with 0 resolved to the cores this process may run on."""
        return self.threads or len(os.sched_getaffinity(0))

    def shared(self, count: int) -> Self:
        """Return the share of each of `count` jobs that run at the same time."""
        if self.cluster:
            return self.model_copy(update={"threads": self.threads or 1})
        amount, unit = re.split(r"(?<=[0-9]) ?(?=[A-Za-z])", self.memory)
        return self.model_copy(update={"threads": max(1, self.cores // count), "memory": f"{float(amount) / count:.3f}{unit}"})
