"""The configs of the training stages: everything that decides a model besides its data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import BaseModel, Field, ValidationError, model_validator

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


class Entrant(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """A network of an arena."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="what tables call it; name")
    model: NetworkConfig = Field(description="the network; its context is that of the rows unless it says otherwise")
    learning_rate: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="peak learning rate of this network; null: that of pretrain; number"
    )


class ArenaConfig(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """Networks that are pretrained side by side, on the same rows in the same order, and compared."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {name: ("entrants",) for name in ("seeds", "lengths")}

    entrants: tuple[Entrant, ...] = Field((), description="the networks; the first is what others are as large as; []: no arena; list")
    seeds: int = Field(
        3, ge=1, le=100, description="times that each is trained, with initial weights and order of rows of its own; a network that is "
        "counted once; count"
    )  # fmt: skip
    lengths: tuple[Annotated[int, Field(ge=1, le=65_536)], ...] = Field(
        (64, 256, 1024), min_length=1, description="texts behind which memory and speed of writing are measured; tokens, ascending"
    )

    @model_validator(mode="after")
    def _ascends(self) -> ArenaConfig:
        if list(self.lengths) != sorted(set(self.lengths)):
            raise ValueError(f"lengths={list(self.lengths)} must ascend, each once; sort it")
        return self


class PipelineResources(Resources, frozen=True):
    """Threads, memory, where shards are processed, and how training is distributed."""

    training: TrainResources = Field(default_factory=TrainResources, description="workers, ZeRO stage, micro-batch, checkpoints")
