"""The `resources` section of a recipe: what every stage may use, and what training needs besides."""

from __future__ import annotations

from pydantic import Field

from model.training.config import TrainResources
from tasks.stage.execution.resources import Resources


class PipelineResources(Resources, frozen=True):
    """Threads, memory, where shards are processed, and how training is distributed."""

    training: TrainResources = Field(default_factory=TrainResources, description="workers, ZeRO stage, micro-batch, checkpoints")
