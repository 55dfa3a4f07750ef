"""Direct preference optimization on pairs of answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from model.names import NAME_PATTERN, NOT_IDENTITY
from model.training.train_config import RowKind, TuningConfig

if TYPE_CHECKING:
    from model.objectives.dpo import Dpo


class DpoConfig(TuningConfig):
    """Direct preference optimization, relative to the model before this training."""

    READS: ClassVar[RowKind] = "preference"
    TITLE: ClassVar[str] = "preference tuning"
    MODELS: ClassVar[tuple[str, ...]] = ("reference",)
    HAS_NEXT_TOKENS: ClassVar[bool] = False
    COMPARES: ClassVar[bool] = True
    # A preference pair is two sequences read by two models.
    COUNTS_OPERATIONS: ClassVar[bool] = False

    kind: Literal["dpo"] = Field("dpo", description="training objective: to prefer the chosen answer to the rejected one")
    name: str = Field("dpo", pattern=NAME_PATTERN, json_schema_extra=NOT_IDENTITY, description="its position is tune.<name>; name")
    steps: int = Field(60, ge=0, description="optimizer steps; 0: as many as `tokens` needs")
    learning_rate: float = Field(5e-5, gt=0, description="peak learning rate")
    warmup_steps: int = Field(
        5, ge=0, description="steps over which the learning rate rises to its peak, the default within a shorter run too; 0: none"
    )
    weight_decay: float = Field(0.0, ge=0, description="weight decay of matrices, embeddings included; none for norms and biases")
    beta: float = Field(0.1, gt=0, description="strength of the pull towards the reference model; larger keeps the model closer to it")

    def build_objective(self) -> Dpo:
        """Return the objective that this config describes."""
        from model.objectives.dpo import Dpo

        return Dpo(beta=self.beta)
