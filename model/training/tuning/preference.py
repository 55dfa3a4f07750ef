"""What kinds of tuning by preferences share: where their pairs come from, and their reference. Cheap to import (pydantic alone)."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from model.pairing.config import OwnPairs, Pairing, PairSource
from model.training.replay import ReplayingConfig
from model.training.train_config import RowKind

if TYPE_CHECKING:
    from model.loading.joined_rows import RowReader
    from model.loading.source import BatchShare, Source
    from model.objectives.protocol import Cacheable, Objective
    from model.rollouts.policy import Policy
    from model.training.job import Job


class PreferenceConfig(ReplayingConfig):
    """A step of tuning that reads pairs of answers."""

    READS: ClassVar[RowKind] = "preference"
    TITLE: ClassVar[str] = "preference tuning"
    HAS_NEXT_TOKENS: ClassVar[bool] = False
    # A preference pair is two sequences, and a reference reads them too.
    COUNTS_OPERATIONS: ClassVar[bool] = False
    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {**ReplayingConfig.NEEDS, "within_documents": ("replay",)}

    steps: int = Field(60, ge=0, description="optimizer steps; 0: as many as `tokens` needs")
    learning_rate: float = Field(5e-5, gt=0, description="peak learning rate")
    warmup_steps: int = Field(
        5, ge=0, description="steps over which the learning rate rises to its peak, the default within a shorter run too; 0: none"
    )
    weight_decay: float = Field(0.0, ge=0, description="weight decay of matrices, embeddings included; none for norms and biases")
    pairs: PairSource = Field(OwnPairs(kind="own"), description="where the pairs of answers come from; kind and its settings")
    within_documents: bool = Field(True, description="restrict attention to the same document within a replayed row")

    @property
    def masks_documents(self) -> bool:
        """Whether a replayed row holds several documents that do not see each other."""
        return bool(self.replay) and self.within_documents

    @property
    def pairing(self) -> Pairing | None:
        """How pairs are made before the step; None: use the examples' pairs."""
        return self.pairs.making()

    @abstractmethod
    def own_objective(self) -> Objective:
        """Return the objective over pairs alone."""

    def build_objective(self) -> Objective:
        """Return the objective that this config describes."""
        return self.replaying(self.own_objective(), "preference_loss", within_documents=self.within_documents)


class ReferenceConfig(PreferenceConfig):
    """A step of preferences whose loss compares the model with itself before the step."""

    MODELS: ClassVar[tuple[str, ...]] = ("reference",)
    COMPARES: ClassVar[bool] = True

    reference: Literal["model", "cached"] = Field(
        "model",
        description="the model before this step: model reads each pair again, as a second copy of the weights, or with the adapter off; "
        "cached reads all pairs once, before the first step, and keeps what it says of them",
    )

    @abstractmethod
    def own_objective(self) -> Cacheable:
        """Return the objective over pairs alone."""

    def build_source(self, job: Job, objective: Objective, share: BatchShare, policy: Policy) -> Source:
        """Return the job's pairs, with the reference's outputs if these are cached."""
        from model.training.job_batches import job_batches
        from model.training.tuning.cached_reference import with_reference

        def extend(rows: RowReader, part: str) -> RowReader:
            whole = self.extended(rows)
            return with_reference(whole, part, job, self.own_objective(), share, policy) if self.reference == "cached" else whole

        return job_batches(job, objective, share.device, share.rank, share.world_size, extend)

    def extended(self, rows: RowReader) -> RowReader:
        """Return the rows with the columns that the objective reads besides."""
        return rows
