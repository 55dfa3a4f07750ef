"""What a machine may spend on a run. Nothing here can change a byte of an artifact, so none of it is identity."""

from __future__ import annotations

import os

from pydantic import BaseModel, Field

from model.training.config import TrainResources


class Resources(BaseModel, frozen=True, extra="forbid"):
    """Threads, memory and how training is spread."""

    threads: int = Field(0, ge=0, description="threads of one process; 0 means all cores")
    memory: str = Field("4GB", description="DuckDB's memory limit; it spills to the store's disk beyond that")
    training: TrainResources = Field(default_factory=TrainResources, description="workers, ZeRO stage, micro-batch, checkpoints")

    @property
    def cores(self) -> int:
        """Threads to use, with 0 resolved to the cores this process may run on."""
        return self.threads or len(os.sched_getaffinity(0))
