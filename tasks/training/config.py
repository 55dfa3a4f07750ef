"""The configs of the training stages: everything that decides a model besides its data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, Field, ValidationError

from model.names import NOT_IDENTITY
from model.networks.config import NetworkConfig
from model.training.config import PretrainStep, TrainResources, TuningStep
from tasks.stage.execution.resources import Resources

if TYPE_CHECKING:
    from tasks.stage.store.artifact import Artifact


class Pretraining(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Everything that decides a pretrained model besides its tokens."""

    model: NetworkConfig
    train: PretrainStep
    seed: int = Field(description="of initial weights and sample order")
    row_length: int = Field(0, json_schema_extra=NOT_IDENTITY, description="tokens of a row, as in the rows; 0: the model's context")


class Tuning(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Everything that decides a tuned model besides its rows and the model it starts from."""

    train: TuningStep
    seed: int = Field(description="of sample order")
    row_length: int = Field(0, json_schema_extra=NOT_IDENTITY, description="tokens of a row, as in the rows; 0: the model's context")


def step_title(position: str, artifact: Artifact) -> str:
    """Return what the report calls the step of tuning at `position`; the position for a record that today's config can't read."""
    try:
        step = Tuning.model_validate(artifact.config).train
    except ValidationError:
        return position
    # The record of a step that was renamed since holds its old name.
    title = step.model_copy(update={"name": position.partition(".")[2]}).title
    return title[:1].upper() + title[1:]


class PipelineResources(Resources, frozen=True):
    """Threads, memory, where shards are processed, and how training is distributed."""

    training: TrainResources = Field(default_factory=TrainResources, description="workers, ZeRO stage, micro-batch, checkpoints")
