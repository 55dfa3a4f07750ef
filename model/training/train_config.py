"""The settings of every kind of training that affect the weights; `resources` holds those that affect only speed.

Steps count optimizer updates from 1; a batch is counted in sequences of the model's context. A setting that the chosen optimizer,
schedule or precision does not have is refused (`flat_keys`), a key that does nothing too (`NEEDS`). Cheap to import (pydantic alone).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from model.adapters.config import AdapterConfig, FullConfig
from model.aims.protocol import StepGate
from model.loading.mixture_config import MixturePhase, check_phases
from model.names import NOT_IDENTITY
from model.networks.base import Ability, NetworkBase
from model.training.flat_keys import has_flat_keys, place_flat_keys
from model.training.guards.config import GuardsConfig
from model.training.length import TrainingLength
from model.training.optimizers.config import AdamWConfig, MuonConfig, OptimizerConfig
from model.training.precisions import AutoConfig, Fp32Config, PrecisionConfig
from model.training.schedules import CosineConfig, ScheduleConfig

if TYPE_CHECKING:
    from model.aims.config import AnyAim
    from model.loading.source import BatchShare, Source
    from model.objectives.protocol import Objective
    from model.pairing.config import Pairing
    from model.rollouts.cycle import Policy
    from model.training.job import Job

MEASURED_SHARE, CURVE_POINTS = 0.03, 10
RowKind = Literal["sft", "preference", "labels", "questions"]


class TrainConfig(TrainingLength):
    """Settings common to all kinds of training. Each can change the weights.

    `TITLE`: what the model card and the report call this kind.
    `REQUIRES`: what the network must be able to do.
    `INPUTS`: what a job must give it to learn from.
    `MODELS`: frozen models that its loss needs beside the trained one, such as "reference", the model before this training.
    `HEADS`: heads added to the trained model, each reading one number from a hidden vector.
    `HAS_NEXT_TOKENS`: its targets are next tokens, which can also be drawn from the model itself.
    `FROM_LOGITS`: its loss follows from the logits and the targets of a batch alone, so a pipeline's last stage can compute it.
    `COMPARES`: its loss compares the model's probabilities with those of a frozen or an earlier one, so nothing is dropped in training.
    `TEACHES_PROMPTS`: its rows say what is a prompt, for networks that read one in both directions.
    `COUNTS_OPERATIONS`: the usual count of operations for a token holds, so utilization (MFU) is known.
    """

    TITLE: ClassVar[str]
    REQUIRES: ClassVar[frozenset[Ability]] = frozenset({"causal", "gradients"})
    INPUTS: ClassVar[tuple[str, ...]] = ("train_shards",)
    MODELS: ClassVar[tuple[str, ...]] = ()
    HEADS: ClassVar[tuple[str, ...]] = ()
    HAS_NEXT_TOKENS: ClassVar[bool] = True
    FROM_LOGITS: ClassVar[bool] = False
    COMPARES: ClassVar[bool] = False
    TEACHES_PROMPTS: ClassVar[bool] = False
    COUNTS_OPERATIONS: ClassVar[bool] = True

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "batch_warmup_from": ("batch_warmup_steps",),
        "eval_every": ("eval_rows",),
    }

    kind: str = Field(description="training objective")
    optimizer: OptimizerConfig = Field(AdamWConfig(), description="optimizer and its settings; adafactor needs ZeRO stage 0")
    learning_rate: float = Field(2e-3, gt=0, description="peak learning rate")
    schedule: ScheduleConfig = Field(
        CosineConfig(), description="learning rate after the warm-up; wsd: constant, then decaying at the end (warmup-stable-decay)"
    )
    warmup_steps: int = Field(
        50, ge=0, description="steps over which the learning rate rises to its peak, the default within a shorter run too; 0: none"
    )
    weight_decay: float = Field(0.1, ge=0, description="weight decay of matrices, embeddings included; none for norms and biases")
    clip: float = Field(1.0, ge=0, description="largest gradient norm; larger gradients are scaled down; 0: no limit")
    precision: PrecisionConfig = Field(
        Fp32Config(),
        description="type of matrix products; everything else stays fp32, the saved model too; auto: bf16 where the machine that plans the "
        "run multiplies in it, else fp32; fp8 within blocks, on cards that support it",
    )
    ema_decay: float = Field(
        0.0, ge=0, lt=1, description="decay rate of the moving average of weights, which is then validated and saved; 0: no average"
    )
    eval_every: int | None = Field(
        None,
        ge=0,
        description="steps between measurements of validation loss; 0: only at the end; null: up to ten in the run, as many as cost a few "
        "percent of it",
    )
    eval_rows: int = Field(256, ge=0, description="validation rows per measurement, evenly spaced; 0: no validation")
    select: Literal["last", "best"] = Field(
        "last", description="which weights become the model: the last, or those of the lowest validation loss"
    )
    adapter: AdapterConfig = Field(
        FullConfig(kind="full"),
        description="what is trained of the model: all its weights (full), or changes of them; kind and its settings",
    )
    guards: GuardsConfig = Field(GuardsConfig(), description="what to do when training goes wrong, and when to stop early")

    @model_validator(mode="before")
    @classmethod
    def _settings_in_their_sections(cls, given: Any) -> Any:
        return place_flat_keys(given, cls) if isinstance(given, Mapping) and has_flat_keys(given) else given

    @model_validator(mode="after")
    def _patience_has_measurements(self) -> TrainConfig:
        if self.guards.patience and self.eval_every == 0:
            raise ValueError(
                f"guards.patience={self.guards.patience} does nothing while eval_every=0: validation loss is measured only at the end; "
                "set eval_every, or patience=0"
            )
        if self.guards.patience and self.eval_rows == 0:
            raise ValueError(
                f"guards.patience={self.guards.patience} does nothing while eval_rows=0: validation loss is not measured; set eval_rows, "
                "or patience=0"
            )
        return self

    @model_validator(mode="after")
    def _best_is_looked_for(self) -> TrainConfig:
        if self.select == "best" and self.eval_every == 0:
            raise ValueError('select="best" does nothing while eval_every=0; set eval_every, or give select its default, "last"')
        if self.select == "best" and self.eval_rows == 0:
            raise ValueError('select="best" does nothing while eval_rows=0; set eval_rows, or give select its default, "last"')
        return self

    @model_validator(mode="after")
    def _labels_can_be_drawn(self) -> TrainConfig:
        if self.optimizer.DRAWS_TARGETS and not self.HAS_NEXT_TOKENS:
            raise ValueError(
                f"optimizer={self.optimizer.kind} estimates curvature from sampled next tokens, which kind={self.kind} does not have; "
                "choose another optimizer"
            )
        return self

    @property
    def title(self) -> str:
        """The name of this training, for people."""
        return self.TITLE

    def measure_every(self, context: int) -> int:
        """Return the steps between measurements of validation loss; 0: only at the end.

        By default up to ten measurements are made. A validation row costs a third of a training row, and together they take at most
        `MEASURED_SHARE` of the run; a run that has no room for two measures at its end alone.
        """
        if self.eval_every is not None or not self.eval_rows:
            return self.eval_every or 0
        steps = self.total_steps(context)
        most = int(MEASURED_SHARE * 3 * self.sequences_before(steps) / self.eval_rows)
        # Where the best weights are looked for, or a run may end early, there has to be something to choose from.
        wanted = max(most, CURVE_POINTS if self.select == "best" or self.guards.patience else 0)
        return -(-steps // min(CURVE_POINTS, wanted)) if wanted > 1 else 0

    @property
    def needs_validation(self) -> str:
        """The setting that validation loss decides; empty: none."""
        if self.select == "best":
            return "select=best"
        return f"guards.patience={self.guards.patience}" if self.guards.patience else ""

    @property
    def length(self) -> TrainingLength:
        """The settings that decide how long training lasts."""
        return TrainingLength.model_validate(self, from_attributes=True)

    def resolved(self, offered: Collection[str] | None = None) -> Self:
        """Return these settings as training takes them: `precision` is what it comes to with the `offered` types; None: on this machine."""
        precision = self.precision.resolved(offered)
        return self if precision == self.precision else self.model_copy(update={"precision": precision})

    @abstractmethod
    def build_objective(self, network: NetworkBase) -> Objective:
        """Return the objective that this config describes, of a network of this shape."""

    def build_source(self, job: Job, objective: Objective, share: BatchShare, policy: Policy) -> Source:
        """Return what a worker's rows come from: by default the job's packed shards.

        `policy`: the model as it is trained, for a source that samples from it. Raise JobError or ShardError for inputs that do not fit.
        """
        from model.training.job_batches import job_batches

        return job_batches(job, objective, share.device, share.rank, share.world_size)

    def rows_in(self, rows: int, kind: str) -> int:
        """Return how many rows it learns from in so many rows of a kind of shards."""
        return rows

    def network_problems(self, network: NetworkBase, section: str, shape: str) -> Iterator[str]:
        """Yield why this network can't be trained so, beyond abilities that it lacks; `section` and `shape` prefix the keys."""
        yield from ()

    @property
    def masks_documents(self) -> bool:
        """Whether a row holds several documents that do not see each other."""
        return False

    @property
    def balances_experts(self) -> bool:
        """Whether it keeps a network's experts in even use.

        Not in tuning, whose rows are of a few kinds: that these use experts evenly says nothing of other texts.
        """
        return False

    @property
    def judge(self) -> str:
        """The name of the earlier step whose model scores its replies; empty: none."""
        return ""

    @property
    def read_share(self) -> float:
        """The share of tokens whose logits the loss needs."""
        return 1.0

    @property
    def dropped_tokens(self) -> float:
        """The share of input tokens that are hidden from the network in training."""
        return 0.0

    @property
    def reads_words(self) -> bool:
        """Whether it has to know which tokens go on a word."""
        return False

    @property
    def ahead_weight(self) -> float:
        """The weight of the losses of heads that predict further ahead than the next token; 0: they are left as they are."""
        return 0.0

    def trained_heads(self, network: NetworkBase) -> int:
        """Return how many heads of a network are trained, which predict further ahead; no adapter trains any."""
        return network.heads_ahead if self.ahead_weight and not self.adapter.KEEPS_BASE else 0

    @property
    def replay_share(self) -> float:
        """The share of rows that are replayed from pretraining, which the job has to give; 0: none."""
        return 0.0

    @property
    def memorization_passages(self) -> tuple[int, int]:
        """How many training passages are tested for memorization at each measurement, and of how many tokens their halves are."""
        return 0, 0


AHEAD_WEIGHT = Field(
    0.3,
    ge=0,
    description="weight that the losses of the model's multi_token heads share, beside the next token's; 0: they are left as they are",
)


class CorpusTrainConfig(TrainConfig):
    """Training on the packed corpus, from fresh weights or from a model that is named."""

    TITLE: ClassVar[str] = "pretraining"

    optimizer: OptimizerConfig = Field(
        MuonConfig(), description="optimizer and its settings; muon needs whole matrices, adafactor ZeRO stage 0"
    )
    precision: PrecisionConfig = Field(
        AutoConfig(),
        description="type of matrix products; everything else stays fp32, the saved model too; auto: bf16 where the machine that plans the "
        "run multiplies in it, else fp32; fp8 within blocks, on cards that support it",
    )
    tokens: int = Field(2_000_000, ge=0, description="tokens to train on, padding included, instead of steps; tokens")
    within_documents: bool = Field(True, description="restrict attention to the same document within a packed row")
    initial: str = Field(
        "",
        description="folder of a model to start from, folio's or in Hugging Face's format; relative to the root; empty: fresh weights",
    )
    mixture: tuple[MixturePhase, ...] = Field(
        (),
        description="source weights by phase, for shards packed with pack.by_source=true; empty: every row once per epoch; list of phases",
    )

    @model_validator(mode="after")
    def _phases_follow(self) -> CorpusTrainConfig:
        check_phases(self.mixture)
        return self

    @property
    def masks_documents(self) -> bool:
        """Whether a row holds several documents that do not see each other."""
        return self.within_documents


class TuningConfig(TrainConfig):
    """A step of tuning: training that starts from a model.

    `READS`: the rows that it learns from. `MAKES_POLICY`: the next step starts from its model; if not, only steps that name it use that.
    """

    READS: ClassVar[RowKind]
    MAKES_POLICY: ClassVar[bool] = True

    name: str
    gate: StepGate | None = Field(
        None,
        json_schema_extra=NOT_IDENTITY,
        description="what must hold of the step before anything goes on from its model: it improves its own aim, and costs little; "
        "null: not judged, {}: with the defaults",
    )

    @abstractmethod
    def aim(self) -> AnyAim:
        """Return what the step wants to improve, as it is measured."""

    @property
    def asks(self) -> str:
        """The examples' file of the questions that it samples replies to."""
        return "questions_seen.jsonl"

    @property
    def pairing(self) -> Pairing | None:
        """The making of pairs before this step; None: it reads what the examples have."""
        return None

    @property
    def title(self) -> str:
        """The name of this step, for people: its kind's title, and its own name if that is another than the kind's."""
        return self.TITLE if self.name == self.kind else f"{self.TITLE} ({self.name})"
