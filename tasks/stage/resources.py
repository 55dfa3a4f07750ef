"""What a machine may spend on a run. Nothing here can change a byte of an artifact, so none of it is identity."""

from __future__ import annotations

import os
import re

from pydantic import BaseModel, Field

from model.training.config import TrainResources


class Resources(BaseModel, frozen=True, extra="forbid"):
    """Threads, memory and how training is spread."""

    threads: int = Field(0, ge=0, description="threads of one process; 0 means all cores")
    memory: str = Field(
        "4GB", pattern=r"^[0-9]+(\.[0-9]+)? ?[kKMGT]i?B$", description="DuckDB's memory limit; it spills to the store's disk beyond that"
    )
    training: TrainResources = Field(default_factory=TrainResources, description="workers, ZeRO stage, micro-batch, checkpoints")

    @property
    def cores(self) -> int:
        """Threads to use, with 0 resolved to the cores this process may run on."""
        return self.threads or len(os.sched_getaffinity(0))

    def shared(self, count: int) -> Resources:
        """What each of `count` pieces of work at the same time may use of these."""
        amount, unit = re.split(r"(?<=[0-9]) ?(?=[A-Za-z])", self.memory)
        return self.model_copy(update={"threads": max(1, self.cores // count), "memory": f"{float(amount) / count:.3f}{unit}"})
