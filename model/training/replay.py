"""What kinds of tuning share that may replay rows of pretraining. Cheap to import (pydantic alone)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, model_validator

from model.training.train_config import TuningConfig

if TYPE_CHECKING:
    from model.objectives.protocol import Objective

LEAST_ROWS = 2  # at least one of each kind per step


class ReplayingConfig(TuningConfig):
    """A step of tuning that also learns from rows of pretraining, which reduces forgetting."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {**TuningConfig.NEEDS, "replay_weight": ("replay",)}

    replay: float = Field(
        0.0,
        ge=0,
        le=0.9,
        description="share of each step's rows that are rows of pretraining, of which the next token is learned; 0: none; fraction",
    )
    replay_weight: float = Field(1.0, gt=0, description="weight of the mean loss of replayed tokens beside the step's own loss")

    @model_validator(mode="after")
    def _replay_fits(self) -> ReplayingConfig:
        if not self.replay:
            return self
        if self.smallest_batch * min(self.replay, 1 - self.replay) < LEAST_ROWS:
            raise ValueError(
                f"replay={self.replay} of {self.smallest_batch} rows a step leaves fewer than {LEAST_ROWS} of a kind; use a larger batch, "
                "another share, or replay=0"
            )
        if self.optimizer.DRAWS_TARGETS:
            raise ValueError(f"replay={self.replay} with optimizer={self.optimizer.kind} is not offered; use another, or replay=0")
        return self

    @property
    def replay_share(self) -> float:
        return self.replay

    def replaying(self, own: Objective, own_name: str, *, within_documents: bool) -> Objective:
        """Return `own` with replay, if there is any; its loss is then called `own_name`."""
        if not self.replay:
            return own
        from model.objectives.next_token import NextToken
        from model.objectives.replayed import Replayed

        return Replayed(own, own_name, self.replay_weight, NextToken(within_documents=within_documents))
