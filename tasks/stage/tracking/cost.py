"""The cost of an execution, in seconds and in money."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Iterable
from typing import ClassVar

from pydantic import BaseModel, Field

from tasks.stage.store.artifact import Artifact, Cost


class Stopwatch:
    """Measures the cost of an execution from its creation until it is stopped.

    It counts wall time; processor time of this process and of its ended children, shared evenly among stopwatches that run at the same
    time, so that the sum over concurrent executions is what was spent, and what is added of other processes; and time on accelerators,
    from when they are taken into use.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._using: tuple[int, float] = (0, self._began)
        self._gpu = self._elsewhere = 0.0
        self._cost: Cost | None = None
        _PROCESSOR.start(self)

    def use(self, devices: int) -> None:
        """Count this many accelerators as in use from now on; 0: none."""
        before, since = self._using
        if devices != before:
            moment = time.monotonic()
            self._gpu += before * (moment - since)
            self._using = (devices, moment)

    def add(self, cpu_seconds: float) -> None:
        """Count processor time of a process that is not a child of this one."""
        self._elsewhere += cpu_seconds

    def stop(self) -> Cost:
        """Stop and return the cost; further calls return the same."""
        if self._cost is None:
            self.use(0)
            wall = time.monotonic() - self._began
            cpu = _PROCESSOR.stop(self) + self._elsewhere
            self._cost = Cost(wall_seconds=round(wall, 3), cpu_seconds=round(cpu, 3), gpu_seconds=round(self._gpu, 3))
        return self._cost


class _Processor:
    """Shares the processor time of this process among the running stopwatches, whenever one starts or stops."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shares: dict[Stopwatch, float] = {}
        self._settled = 0.0

    def start(self, watch: Stopwatch) -> None:
        with self._lock:
            self._settle()
            self._shares[watch] = 0.0

    def stop(self, watch: Stopwatch) -> float:
        with self._lock:
            self._settle()
            return self._shares.pop(watch)

    def _settle(self) -> None:
        # CPU time can't be attributed to threads or children, so concurrent stopwatches share it.
        spent = _cpu_seconds()
        for watch in self._shares:
            self._shares[watch] += (spent - self._settled) / len(self._shares)
        self._settled = spent


_PROCESSOR = _Processor()


def _cpu_seconds() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


class Rates(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Prices of machine time, to show money next to seconds; never identity."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {"currency": ("cpu_hour", "gpu_hour")}

    currency: str = Field(
        "EUR", min_length=1, max_length=12, description="what the prices are in, as it is to stand beside an amount; text"
    )
    cpu_hour: float = Field(0.0, ge=0, description="price of one core for one hour, in `currency`; 0: cores cost nothing")
    gpu_hour: float = Field(0.0, ge=0, description="price of one accelerator for one hour, in `currency`; 0: accelerators cost nothing")

    def price(self, cost: Cost) -> float | None:
        """Return a cost in `currency`; None when no rate is set."""
        if not self.cpu_hour and not self.gpu_hour:
            return None
        return (cost.cpu_seconds * self.cpu_hour + cost.gpu_seconds * self.gpu_hour) / 3600


def total_cost(artifacts: Iterable[Artifact]) -> Cost:
    """Add up the cost of artifacts, each execution once."""
    costs = [artifact.cost for artifact in {artifact.address: artifact for artifact in artifacts}.values()]
    return Cost(
        wall_seconds=round(sum(c.wall_seconds for c in costs), 1),
        cpu_seconds=round(sum(c.cpu_seconds for c in costs), 1),
        gpu_seconds=round(sum(c.gpu_seconds for c in costs), 1),
    )
