"""The `resources` section of a recipe. No stage, since it only adds to the stage machinery's resources what training needs."""

from __future__ import annotations

from pydantic import Field

from model.training.config import TrainResources
from tasks.stage.execution.resources import Resources


class PipelineResources(Resources, frozen=True):
    """Threads, memory, where shards are worked on, and how training is spread."""

    training: TrainResources = Field(default_factory=TrainResources, description="workers, ZeRO stage, micro-batch, checkpoints")
