"""What training may use of the machine. Cheap to import (pydantic alone)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, Field, model_validator

from model.hardware.devices import find_device
from model.training.parallel.config import ParallelConfig
from model.training.train_config import TrainConfig


class TrainResources(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """What training may use of the machine. Rounding aside, none of it changes the weights."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "keep_every_steps": ("keep_in",),
        "keep_best": ("keep_in",),
        "keep_in": ("keep_every_steps", "keep_best"),
    }

    parallel: ParallelConfig = Field(ParallelConfig(), description="worker processes and how training is distributed over them")
    threads: int = Field(0, ge=0, description="threads per worker; 0: the machine's cores divided among its workers")
    micro_batch: int = Field(
        0,
        ge=0,
        description="most sequences computed at once by a worker; lowered to a divisor of its share of the batch; 0: as many as fit into "
        "an accelerator's free memory, on a CPU about 2,048 tokens",
    )
    loader_threads: int = Field(
        1, ge=0, le=64, description="threads that prefetch the rows of coming steps, one step each; 0: none; threads"
    )
    compile: bool = Field(False, description="use torch.compile on blocks and loss: a slower start, faster steps; needs a C++ compiler")
    tf32: bool = Field(
        False, description="compute fp32 products with TF32's 10 bits of mantissa: several times as fast, on NVIDIA cards from Ampere on"
    )
    recompute: Literal["none", "blocks"] = Field(
        "none", description="activations recomputed in the backward pass instead of stored; blocks: a third more computing, less memory"
    )
    checkpoint_every_steps: int = Field(100, ge=1, description="steps between checkpoints")
    keep_every_steps: int = Field(0, ge=0, description="steps between model directories retained in keep_in; 0: none")
    keep_best: bool = Field(False, description="retain the weights of the lowest validation loss in keep_in")
    keep_in: str = Field("", description="folder for retained models; relative to the root; empty: retain none")
    keep_last: int = Field(2, ge=1, description="checkpoints kept during training; the newest is the one to resume from")
    sample_every: int = Field(
        0, ge=0, description="steps between text samples from the model, in pretraining and instruction tuning; 0: none"
    )
    mfu_peak: str = Field(
        "auto",
        description="peak that MFU is relative to: auto (the data sheet's if the accelerator is known, else measured), measured, or a "
        "device's name such as h100-sxm",
    )
    stall_seconds: float = Field(600, gt=0, description="time without progress after which the workers are considered dead; seconds")

    def for_training(self, train: TrainConfig) -> TrainResources:
        """Return the resources that a training stage uses: a loss that needs more than the last stage's logits runs without a pipeline."""
        if train.FROM_LOGITS or self.parallel.pipeline == 1:
            return self
        return self.model_copy(update={"parallel": self.parallel.model_copy(update={"pipeline": 1})})

    @model_validator(mode="after")
    def _samples_whole(self) -> TrainResources:
        if self.sample_every and self.parallel.pipeline > 1:
            raise ValueError(
                f"sample_every={self.sample_every} with parallel.pipeline={self.parallel.pipeline}: no worker has a whole model to sample "
                "from; set sample_every=0, or parallel.pipeline=1"
            )
        if self.mfu_peak not in ("auto", "measured"):
            find_device(self.mfu_peak)
        return self
