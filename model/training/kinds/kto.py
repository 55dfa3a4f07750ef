"""Kahneman-Tversky optimization on answers that are each good or bad."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from model.names import NAME_PATTERN, NOT_IDENTITY
from model.training.train_config import RowKind
from model.training.tuning.preference import ReferenceConfig

if TYPE_CHECKING:
    from model.aims.signed_reward import SignedRewardAim
    from model.loading.joined_rows import RowReader
    from model.objectives.kto import Kto


class KtoConfig(ReferenceConfig):
    """Kahneman-Tversky optimization, relative to the model before this training.

    With `pairs.kind=examples` it reads the examples' labelled answers, else both answers of the model's own pairs.
    """

    READS: ClassVar[RowKind] = "labels"

    kind: Literal["kto"] = Field("kto", description="training objective: good answers likelier, bad ones less, each for itself")
    name: str = Field("kto", pattern=NAME_PATTERN, json_schema_extra=NOT_IDENTITY, description="its position is tune.<name>; name")
    beta: float = Field(0.1, gt=0, description="strength of the pull towards the reference model; larger keeps the model closer to it")
    desirable_weight: float = Field(1.0, gt=0, description="weight of the loss of good answers; factor")
    undesirable_weight: float = Field(1.0, gt=0, description="weight of the loss of bad answers; factor")

    def aim(self) -> SignedRewardAim:
        """Return the aim: good answers more likely, bad ones less."""
        from model.aims.signed_reward import SignedRewardAim

        return SignedRewardAim(kind="signed_reward", beta=self.beta)

    def own_objective(self) -> Kto:
        """Return the objective over answers alone."""
        from model.objectives.kto import Kto

        return Kto(self.beta, self.desirable_weight, self.undesirable_weight, cached=self.reference == "cached")

    def extended(self, rows: RowReader) -> RowReader:
        """Return the rows, of pairs each answer for itself, with the answer to another question beside each."""
        from model.loading.joined_rows import PartnerRows, labelled
        from model.objectives.kto import OTHER

        return PartnerRows(labelled(rows), OTHER)

    def rows_in(self, rows: int, kind: str) -> int:
        """Return how many rows it learns from in so many of a kind: two in each pair."""
        return 2 * rows if kind == "preference" else rows
