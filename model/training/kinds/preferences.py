"""Tuning by preferences: DPO, ORPO, SimPO and a reward model on pairs of answers, KTO on answers that are each good or bad."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from model.aims.config import LogRatioAim, OddsRatioAim, RankingAim, SignedRewardAim, TokenRatioAim
from model.names import NAME_PATTERN, NOT_IDENTITY
from model.pairing.config import OwnPairs, Pairing, PairSource
from model.training.kinds.sft import ReplayingConfig
from model.training.train_config import RowKind

if TYPE_CHECKING:
    from model.loading.joined_rows import RowReader
    from model.loading.source import BatchShare, Source
    from model.networks.base import NetworkBase
    from model.objectives.dpo import Dpo
    from model.objectives.kto import Kto
    from model.objectives.protocol import Cacheable, Objective
    from model.objectives.reference_free import Orpo, Simpo
    from model.objectives.reward_model import RewardModel
    from model.rollouts.cycle import Policy
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
        """The making of pairs before the step; None: use the examples' pairs."""
        return self.pairs.making()

    @abstractmethod
    def own_objective(self) -> Objective:
        """Return the objective over pairs alone."""

    def build_objective(self, network: NetworkBase) -> Objective:
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
        from model.training.cached_reference import with_reference
        from model.training.job_batches import job_batches

        def extend(rows: RowReader, part: str) -> RowReader:
            whole = self.extended(rows)
            return with_reference(whole, part, job, self.own_objective(), share, policy) if self.reference == "cached" else whole

        return job_batches(job, objective, share.device, share.rank, share.world_size, extend)

    def extended(self, rows: RowReader) -> RowReader:
        """Return the rows with the columns that the objective reads besides."""
        return rows


class DpoConfig(ReferenceConfig):
    """Direct preference optimization, relative to the model before this training."""

    kind: Literal["dpo"] = Field("dpo", description="training objective: to prefer the chosen answer to the rejected one")
    name: str = Field("dpo", pattern=NAME_PATTERN, json_schema_extra=NOT_IDENTITY, description="its position is tune.<name>; name")
    beta: float = Field(0.1, gt=0, description="strength of the pull towards the reference model; larger keeps the model closer to it")
    loss: Literal["sigmoid", "hinge", "ipo"] = Field(
        "sigmoid",
        description="what is made of a pair's margin: sigmoid pushes ever less the larger it is, hinge no more once it is 1, ipo aims at "
        "1 / (2 beta) nats a token",
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="share of pairs that are taken to be labelled the wrong way round; with loss=sigmoid; fraction"
    )

    @model_validator(mode="after")
    def _smoothing_has_a_loss(self) -> DpoConfig:
        if self.label_smoothing and self.loss != "sigmoid":
            raise ValueError(f"label_smoothing={self.label_smoothing} does nothing with loss={self.loss}; set it to 0, or loss=sigmoid")
        return self

    def aim(self) -> LogRatioAim | TokenRatioAim:
        """Return the aim: a larger margin between chosen and rejected, per token where the loss is per token."""
        return TokenRatioAim(kind="token_ratio") if self.loss == "ipo" else LogRatioAim(kind="log_ratio", beta=self.beta)

    def own_objective(self) -> Dpo:
        """Return the objective over pairs alone."""
        from model.objectives.dpo import Dpo

        return Dpo(beta=self.beta, loss=self.loss, label_smoothing=self.label_smoothing, cached=self.reference == "cached")


class OrpoConfig(PreferenceConfig):
    """Odds ratio preference optimization: fine-tuning on the chosen answers, and preferences, without a reference."""

    kind: Literal["orpo"] = Field(
        "orpo", description="training objective: the chosen answer's words, at better odds than the rejected one's"
    )
    name: str = Field("orpo", pattern=NAME_PATTERN, json_schema_extra=NOT_IDENTITY, description="its position is tune.<name>; name")
    beta: float = Field(0.1, gt=0, description="weight of the odds ratio beside the loss of the chosen answers; factor")
    prompts: bool = Field(False, description="learn the words of the questions too, as the authors' code does; yes or no")

    def aim(self) -> OddsRatioAim:
        """Return the aim: better odds of the chosen answer against the rejected one."""
        return OddsRatioAim(kind="odds_ratio")

    def own_objective(self) -> Orpo:
        """Return the objective over pairs alone."""
        from model.objectives.reference_free import Orpo

        return Orpo(self.beta, self.prompts)


class SimpoConfig(PreferenceConfig):
    """Simple preference optimization: likelier by token, by a gap, without a reference."""

    kind: Literal["simpo"] = Field("simpo", description="training objective: the chosen answer likelier by token than the rejected one")
    name: str = Field("simpo", pattern=NAME_PATTERN, json_schema_extra=NOT_IDENTITY, description="its position is tune.<name>; name")
    beta: float = Field(2.0, gt=0, description="factor of the mean log-probability of an answer's tokens; larger: the loss is steeper")
    gap: float = Field(
        1.0, ge=0, description="how much larger the chosen answer's reward should be than the rejected one's; beta times nats"
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=0.5, description="share of pairs that are taken to be labelled the wrong way round; fraction"
    )

    def aim(self) -> TokenRatioAim:
        """Return the aim: a larger margin per token between chosen and rejected."""
        return TokenRatioAim(kind="token_ratio", factor=self.beta)

    def own_objective(self) -> Simpo:
        """Return the objective over pairs alone."""
        from model.objectives.reference_free import Simpo

        return Simpo(self.beta, self.gap, self.label_smoothing)


class RewardModelConfig(PreferenceConfig):
    """A reward model: the model so far learns to score answers. Later steps may score replies by it; the policy stays what it was."""

    TITLE: ClassVar[str] = "reward model"
    HEADS: ClassVar[tuple[str, ...]] = ("reward",)
    MAKES_POLICY: ClassVar[bool] = False

    kind: Literal["reward"] = Field("reward", description="training objective: to score the chosen answer higher than the rejected one")
    name: str = Field("reward", pattern=NAME_PATTERN, json_schema_extra=NOT_IDENTITY, description="its position is tune.<name>; name")
    learning_rate: float = Field(2e-4, gt=0, description="peak learning rate")
    centre: float = Field(0.01, ge=0, description="weight of the squared sum of both scores, which keeps them near 0; 0: none")

    def aim(self) -> RankingAim:
        """Return the aim: a higher reward for the chosen answer than for the rejected one."""
        return RankingAim(kind="ranking")

    def own_objective(self) -> RewardModel:
        """Return the objective over pairs alone."""
        from model.objectives.reward_model import RewardModel

        return RewardModel(self.centre)


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
