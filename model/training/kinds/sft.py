"""Supervised fine-tuning on conversations."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from model.names import NAME_PATTERN, NOT_IDENTITY
from model.training.replay import ReplayingConfig
from model.training.train_config import RowKind

if TYPE_CHECKING:
    from model.aims.answer_loss import AnswerLossAim
    from model.objectives.protocol import Objective


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

    @property
    def masks_documents(self) -> bool:
        """Whether a row holds several conversations that do not see each other."""
        return self.within_documents

    def aim(self) -> AnswerLossAim:
        """Return the aim: a lower loss on the assistant's tokens."""
        from model.aims.answer_loss import AnswerLossAim

        return AnswerLossAim(kind="answer_loss", within_documents=self.within_documents)

    def build_objective(self) -> Objective:
        """Return the objective that this config describes."""
        from model.objectives.sft import Sft

        own = Sft(within_documents=self.within_documents)
        return self.replaying(own, "answer_loss", within_documents=self.within_documents)
