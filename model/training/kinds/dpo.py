"""Direct preference optimization on pairs of answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from model.names import NAME_PATTERN, NOT_IDENTITY
from model.pairing.config import OwnPairs, PairSource
from model.training.replay import ReplayingConfig
from model.training.train_config import RowKind

if TYPE_CHECKING:
    from model.objectives.protocol import Objective


class DpoConfig(ReplayingConfig):
    """Direct preference optimization, relative to the model before this training."""

    READS: ClassVar[RowKind] = "preference"
    TITLE: ClassVar[str] = "preference tuning"
    MODELS: ClassVar[tuple[str, ...]] = ("reference",)
    HAS_NEXT_TOKENS: ClassVar[bool] = False
    COMPARES: ClassVar[bool] = True
    # A preference pair is two sequences read by two models.
    COUNTS_OPERATIONS: ClassVar[bool] = False
    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {**ReplayingConfig.NEEDS, "within_documents": ("replay",)}

    kind: Literal["dpo"] = Field("dpo", description="training objective: to prefer the chosen answer to the rejected one")
    name: str = Field("dpo", pattern=NAME_PATTERN, json_schema_extra=NOT_IDENTITY, description="its position is tune.<name>; name")
    steps: int = Field(60, ge=0, description="optimizer steps; 0: as many as `tokens` needs")
    learning_rate: float = Field(5e-5, gt=0, description="peak learning rate")
    warmup_steps: int = Field(
        5, ge=0, description="steps over which the learning rate rises to its peak, the default within a shorter run too; 0: none"
    )
    weight_decay: float = Field(0.0, ge=0, description="weight decay of matrices, embeddings included; none for norms and biases")
    beta: float = Field(0.1, gt=0, description="strength of the pull towards the reference model; larger keeps the model closer to it")
    pairs: PairSource = Field(OwnPairs(kind="own"), description="where the rejected answers come from; kind and its settings")
    within_documents: bool = Field(True, description="restrict attention to the same document within a replayed row")

    @property
    def masks_documents(self) -> bool:
        """Whether a replayed row holds several documents that do not see each other."""
        return bool(self.replay) and self.within_documents

    @property
    def pairing(self) -> OwnPairs | None:
        """How the model itself makes the pairs; None: they are those of the examples."""
        return self.pairs.making()

    def build_objective(self) -> Objective:
        """Return the objective that this config describes."""
        from model.objectives.dpo import Dpo

        return self.replaying(Dpo(beta=self.beta), "preference_loss", within_documents=self.within_documents)
