"""How a model is trained: what decides the weights (the configs) apart from what only decides the speed (resources).

Cheap to import (pydantic alone). Steps count optimizer updates from 1; a batch is counted in sequences of the model's
context. A key that the chosen optimizer, schedule or precision does not read is refused (`NEEDS`).
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, Field, model_validator

from model.hardware.devices import find_device
from model.loading.mixture_config import MixturePhase, check_phases
from model.training.guards.config import GuardsConfig
from model.training.parallel.config import ParallelConfig

_WITH_BETAS = ("optimizer=adamw", "optimizer=adam", "optimizer=lion", "optimizer=sophia", "optimizer=muon")
_WITH_MOMENTUM = ("optimizer=momentum", "optimizer=muon")


class TrainConfig(BaseModel, frozen=True, extra="forbid"):
    """What every objective shares. Each field can change the weights."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "batch_warmup_from": ("batch_warmup_steps",),
        "muon_learning_rate": ("optimizer=muon",),
        "min_learning_rate_ratio": ("schedule=cosine", "schedule=linear", "schedule=wsd"),
        "decay_share": ("schedule=wsd",),
        "decay_shape": ("schedule=wsd",),
        "beta1": _WITH_BETAS,
        "beta2": _WITH_BETAS,
        "epsilon": tuple(need for need in _WITH_BETAS if need != "optimizer=lion"),
        "momentum": _WITH_MOMENTUM,
        "nesterov": _WITH_MOMENTUM,
        "sophia_gamma": ("optimizer=sophia",),
        "sophia_every": ("optimizer=sophia",),
        "loss_scale": ("precision=fp16",),
        "loss_scale_window": ("precision=fp16",),
        "eval_every": ("eval_rows",),
        "select": ("eval_every",),
    }

    steps: int = Field(0, ge=0, description="optimizer steps; 0: as many as `tokens` asks for")
    tokens: int = Field(0, ge=0, description="token places to train on, padding included, instead of steps; tokens")
    global_batch: int = Field(32, ge=1, description="sequences (or preference pairs) in one step, over all workers")
    batch_warmup_steps: int = Field(0, ge=0, description="steps over which the batch grows to global_batch; 0: it is that from the start")
    batch_warmup_from: int = Field(0, ge=0, description="sequences in the first step of that growth, and in each stair of it; a divisor")
    optimizer: Literal["adamw", "adam", "sgd", "momentum", "adafactor", "lion", "sophia", "muon"] = Field(
        "adamw", description="how gradients become changes; muon and adafactor need whole matrices, so ZeRO stage 0"
    )
    learning_rate: float = Field(2e-3, gt=0, description="peak of the learning rate")
    muon_learning_rate: float = Field(0.0, ge=0, description="peak for the blocks' matrices under muon; 0: learning_rate")
    schedule: Literal["cosine", "linear", "wsd", "inverse_sqrt", "constant"] = Field(
        "cosine", description="the learning rate after its warm-up; wsd: stable, then down at the end"
    )
    warmup_steps: int = Field(50, ge=0, description="steps over which the learning rate rises to its peak; 0: none")
    min_learning_rate_ratio: float = Field(0.1, ge=0, le=1, description="share of the peak left at the last step")
    decay_share: float = Field(0.2, gt=0, le=1, description="share of all steps over which wsd goes down")
    decay_shape: Literal["linear", "sqrt"] = Field("linear", description="wsd's way down: in a line, or by 1 - sqrt(progress)")
    weight_decay: float = Field(0.1, ge=0, description="decay of matrices, embeddings too; norms and biases have none")
    beta1: float = Field(0.9, ge=0, lt=1, description="the optimizer's memory of the gradient")
    beta2: float = Field(0.95, ge=0, lt=1, description="its memory of the square; Lion's of the gradient, Sophia's of the curvature")
    epsilon: float = Field(1e-8, gt=0, description="added to the denominator; the least denominator of Sophia")
    momentum: float = Field(0.95, ge=0, lt=1, description="memory of the gradient in momentum and muon")
    nesterov: bool = Field(True, description="momentum and muon look one step ahead")
    sophia_gamma: float = Field(0.05, gt=0, description="Sophia's weight of the curvature; smaller clips more of the update")
    sophia_every: int = Field(10, ge=1, description="updates between Sophia's estimates of the curvature, each a backward pass more")
    clip: float = Field(1.0, ge=0, description="largest norm of the gradient; longer ones are scaled down; 0: no limit")
    precision: Literal["fp32", "bf16", "fp16", "fp8"] = Field(
        "fp32", description="type of matrix products; all else stays fp32, the saved model too; fp8 in the blocks where the card has it"
    )
    loss_scale: float = Field(65536.0, ge=1, description="what the loss is multiplied by at first under fp16; halved when it overflows")
    loss_scale_window: int = Field(1000, ge=1, description="updates without an overflow after which the loss scale doubles")
    ema_decay: float = Field(0.0, ge=0, lt=1, description="memory of the moving average of weights that is validated and saved; 0: none")
    eval_every: int = Field(0, ge=0, description="steps between measurements of validation loss; 0: at the end alone")
    eval_rows: int = Field(256, ge=0, description="validation rows measured, evenly spread; 0: no validation")
    select: Literal["last", "best"] = Field(
        "last", description="the weights that become the model: the last, or those of the best validation loss"
    )
    guards: GuardsConfig = Field(GuardsConfig(), description="what is done when training goes wrong, and when it ends early")

    @model_validator(mode="after")
    def _one_length(self) -> TrainConfig:
        if (self.steps > 0) == (self.tokens > 0):
            raise ValueError(f"steps={self.steps} and tokens={self.tokens}: give exactly one of them, above 0")
        return self

    @model_validator(mode="after")
    def _patience_has_measurements(self) -> TrainConfig:
        if self.guards.patience and not self.eval_every:
            raise ValueError(
                f"guards.patience={self.guards.patience} does nothing while eval_every=0, as validation loss is measured at the end alone; "
                "set eval_every, or patience=0"
            )
        return self

    @model_validator(mode="after")
    def _batch_grows(self) -> TrainConfig:
        if self.batch_warmup_steps and (self.batch_warmup_from < 1 or self.global_batch % self.batch_warmup_from):
            raise ValueError(
                f"batch_warmup_from={self.batch_warmup_from} does not divide global_batch={self.global_batch}, which it grows to over "
                f"batch_warmup_steps={self.batch_warmup_steps}; choose a divisor, or batch_warmup_steps=0"
            )
        if self.batch_warmup_steps and self.batch_warmup_from == self.global_batch:
            raise ValueError(
                f"batch_warmup_from={self.batch_warmup_from} is the global_batch already, so batch_warmup_steps={self.batch_warmup_steps} "
                "does nothing; choose a smaller divisor, or batch_warmup_steps=0"
            )
        return self

    @model_validator(mode="after")
    def _labels_can_be_drawn(self) -> TrainConfig:
        if self.optimizer == "sophia" and getattr(self, "objective", "") == "dpo":
            raise ValueError(
                "optimizer=sophia draws next tokens to see the curvature, and objective=dpo has none; choose another optimizer"
            )
        return self

    @property
    def smallest_batch(self) -> int:
        """Sequences in the first update; every other batch is a multiple of it."""
        return self.batch_warmup_from if self.batch_warmup_steps else self.global_batch

    def total_steps(self, context: int) -> int:
        """Optimizer steps for sequences of `context` tokens; at least 1. The nearest number to `tokens`."""
        if self.steps:
            return self.steps
        wanted, grown = self.tokens / context, self.sequences_before(self.batch_warmup_steps)
        if wanted >= grown:
            return max(1, self.batch_warmup_steps + round((wanted - grown) / self.global_batch))
        after = bisect_left(range(self.batch_warmup_steps), wanted, key=self.sequences_before)
        return max(1, min(after, after - 1, key=lambda steps: abs(self.sequences_before(steps) - wanted)))

    def batch_at(self, update: int) -> int:
        """Sequences in update number `update`, from 0: stairs of `batch_warmup_from`, evenly spread over the warm-up."""
        if update >= self.batch_warmup_steps:
            return self.global_batch
        stairs = self.global_batch // self.batch_warmup_from - 1
        return self.batch_warmup_from * (1 + stairs * update // self.batch_warmup_steps)

    def sequences_before(self, update: int) -> int:
        """Sequences in all updates before number `update`, from 0: its place in the order of samples."""
        growing = min(update, self.batch_warmup_steps)
        rest = (update - growing) * self.global_batch
        if not growing:
            return rest
        stairs = self.global_batch // self.batch_warmup_from - 1
        # Stair number s begins at the first update with stairs * update >= s * batch_warmup_steps.
        begins = (-(-stair * self.batch_warmup_steps // stairs) for stair in range(1, stairs + 1))
        return rest + self.batch_warmup_from * (growing + sum(max(0, growing - begin) for begin in begins))


class PretrainConfig(TrainConfig):
    """Next-token prediction over packed documents."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {**TrainConfig.NEEDS, "copy_rows": ("eval_rows",), "copy_tokens": ("copy_rows",)}

    objective: Literal["next_token"] = Field("next_token", description="what is learned: the next token of every document")
    tokens: int = Field(2_000_000, ge=0, description="token places to train on, padding included, instead of steps; tokens")
    within_documents: bool = Field(True, description="attention stays inside a document of a packed row")
    copy_rows: int = Field(0, ge=0, description="training passages tried at each measurement for being recited (copy_rate); 0: none")
    copy_tokens: int = Field(32, ge=1, description="tokens given of such a passage, and tokens that must follow")
    initial: str = Field(
        "", description="folder of a model to start from, also a Hugging Face Llama; relative to the root; empty: fresh weights"
    )
    mixture: tuple[MixturePhase, ...] = Field(
        (),
        description="weights of the sources, by phase, in shards of pack.by_source=true; none: every row once an epoch; list of phases",
    )

    @model_validator(mode="after")
    def _phases_follow(self) -> PretrainConfig:
        check_phases(self.mixture)
        return self


class SftConfig(TrainConfig):
    """Supervised fine-tuning: next-token prediction on the assistant's words alone."""

    objective: Literal["sft"] = Field("sft", description="what is learned: the assistant's words and where they end")
    steps: int = Field(150, ge=0, description="optimizer steps; 0: as many as `tokens` asks for")
    learning_rate: float = Field(1e-3, gt=0, description="peak of the learning rate")
    warmup_steps: int = Field(10, ge=0, description="steps over which the learning rate rises to its peak; 0: none")
    within_documents: bool = Field(True, description="conversations packed into one row do not see each other")


class DpoConfig(TrainConfig):
    """Direct preference optimization against the model as it was before."""

    objective: Literal["dpo"] = Field("dpo", description="what is learned: to prefer the chosen answer to the rejected one")
    steps: int = Field(60, ge=0, description="optimizer steps; 0: as many as `tokens` asks for")
    learning_rate: float = Field(5e-5, gt=0, description="peak of the learning rate")
    warmup_steps: int = Field(5, ge=0, description="steps over which the learning rate rises to its peak; 0: none")
    weight_decay: float = Field(0.0, ge=0, description="decay of matrices, embeddings too; norms and biases have none")
    beta: float = Field(0.1, gt=0, description="how strongly the model is held to the reference; larger holds it nearer")


ObjectiveConfig = Annotated[PretrainConfig | SftConfig | DpoConfig, Field(discriminator="objective")]


class TrainResources(BaseModel, frozen=True, extra="forbid"):
    """What training may use. None of it decides what is learned; rounding aside, nor what the weights become."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "keep_every_steps": ("keep_in",),
        "keep_best": ("keep_in",),
        "keep_in": ("keep_every_steps", "keep_best"),
    }

    parallel: ParallelConfig = Field(ParallelConfig(), description="processes, and what is spread over them")
    threads: int = Field(0, ge=0, description="threads in each worker; 0: the machine's cores shared among the workers")
    micro_batch: int = Field(
        0, ge=0, description="most sequences computed at once in a worker, where they divide its share; 0: about 2,048 tokens"
    )
    loader_threads: int = Field(
        1, ge=0, le=64, description="threads that read the rows of coming steps while one is computed, a step each; 0: none; threads"
    )
    compile: bool = Field(False, description="training compiled by torch.compile: a slower start, faster steps; wants a C++ compiler")
    recompute: Literal["none", "blocks"] = Field(
        "none", description="what is computed again in the backward pass instead of kept; blocks: a third more computing, less memory"
    )
    checkpoint_every_steps: int = Field(100, ge=1, description="steps between checkpoints")
    keep_every_steps: int = Field(0, ge=0, description="steps between model directories kept for good in keep_in; 0: none")
    keep_best: bool = Field(False, description="keep the weights of the lowest validation loss in keep_in")
    keep_in: str = Field("", description="folder for what is kept for good; relative to the root; empty: nothing is")
    keep_last: int = Field(2, ge=1, description="checkpoints kept while training goes on, the newest of them in force")
    sample_every: int = Field(
        0, ge=0, description="steps between samples of what the model writes, in pretraining and instruction tuning; 0: none"
    )
    mfu_peak: str = Field(
        "auto",
        description="peak that MFU is told against: auto (the data sheet's where the accelerator is known, else measured), measured, or a "
        "device's name such as h100-sxm",
    )
    stall_seconds: float = Field(600, gt=0, description="silence after which the workers are taken for dead; seconds")

    def suited(self, objective: str) -> TrainResources:
        """As a flow uses them for one of its training stages: DPO, which asks a whole reference model, goes without a pipeline."""
        if objective != "dpo" or self.parallel.pipeline == 1:
            return self
        return self.model_copy(update={"parallel": self.parallel.model_copy(update={"pipeline": 1})})

    @model_validator(mode="after")
    def _samples_whole(self) -> TrainResources:
        if self.sample_every and self.parallel.pipeline > 1:
            raise ValueError(
                f"sample_every={self.sample_every} with parallel.pipeline={self.parallel.pipeline}: no worker has a whole model to write "
                "with; set sample_every=0, or parallel.pipeline=1"
            )
        if self.mfu_peak not in ("auto", "measured"):
            find_device(self.mfu_peak)
        return self
