"""Supervised fine-tuning on conversations, and the replay of pretraining rows that tuning may ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from model.aims.config import AnswerLossAim
from model.names import NAME_PATTERN, NOT_IDENTITY
from model.training.train_config import AHEAD_WEIGHT, RowKind, TuningConfig

if TYPE_CHECKING:
    from model.networks.base import NetworkBase
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


class SftConfig(ReplayingConfig):
    """Supervised fine-tuning: next-token prediction on the assistant's words only."""

    FROM_LOGITS: ClassVar[bool] = True
    READS: ClassVar[RowKind] = "sft"
    TITLE: ClassVar[str] = "instruction tuning"

    kind: Literal["sft"] = Field("sft", description="training objective: the assistant's words and where they end")
    name: str = Field("sft", pattern=NAME_PATTERN, json_schema_extra=NOT_IDENTITY, description="its position is tune.<name>; name")
    steps: int = Field(150, ge=0, description="optimizer steps; 0: as many as `tokens` needs")
    learning_rate: float = Field(1e-3, gt=0, description="peak learning rate")
    warmup_steps: int = Field(
        10, ge=0, description="steps over which the learning rate rises to its peak, the default within a shorter run too; 0: none"
    )
    within_documents: bool = Field(True, description="restrict attention to the same conversation within a packed row")
    multi_token_weight: float = AHEAD_WEIGHT

    @property
    def ahead_weight(self) -> float:
        return self.multi_token_weight

    @property
    def masks_documents(self) -> bool:
        """Whether a row holds several conversations that do not see each other."""
        return self.within_documents

    def aim(self) -> AnswerLossAim:
        """Return the aim: a lower loss on the assistant's tokens."""
        return AnswerLossAim(kind="answer_loss", within_documents=self.within_documents)

    def build_objective(self, network: NetworkBase) -> Objective:
        """Return the objective that this config describes."""
        from model.objectives.next_token import Sft

        own = Sft(within_documents=self.within_documents, heads=self.trained_heads(network), heads_weight=self.multi_token_weight)
        return self.replaying(own, "answer_loss", within_documents=self.within_documents)
