"""How a model is trained: what decides the weights (the configs) apart from what only decides the speed (resources).

Cheap to import (pydantic alone). Steps count optimizer updates from 1; a batch is counted in sequences of the model's
context. Learning rate: linear warm-up, then a cosine down to a share of the peak.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, Field, model_validator

from model.training.guards.config import GuardsConfig
from model.training.parallel.config import ParallelConfig


class TrainConfig(BaseModel, frozen=True, extra="forbid"):
    """What every objective shares. Each field can change the weights."""

    NEEDS: ClassVar[dict[str, tuple[str, ...]]] = {
        "eval_every": ("eval_rows",),
        "select": ("eval_every",),
    }

    steps: int = Field(0, ge=0, description="optimizer steps; 0: as many as `tokens` asks for")
    tokens: int = Field(0, ge=0, description="token places to train on, padding included, instead of steps; tokens")
    global_batch: int = Field(32, ge=1, description="sequences (or preference pairs) in one step, over all workers")
    learning_rate: float = Field(2e-3, gt=0, description="peak of the learning rate")
    warmup_steps: int = Field(50, ge=0, description="steps over which the learning rate rises to its peak; 0: none")
    min_learning_rate_ratio: float = Field(0.1, ge=0, le=1, description="share of the peak left at the last step")
    weight_decay: float = Field(0.1, ge=0, description="AdamW's decay of matrices; norms have none")
    beta1: float = Field(0.9, ge=0, lt=1, description="AdamW's memory of the gradient")
    beta2: float = Field(0.95, ge=0, lt=1, description="AdamW's memory of its square")
    epsilon: float = Field(1e-8, gt=0, description="added to AdamW's denominator")
    clip: float = Field(1.0, ge=0, description="largest norm of the gradient; longer ones are scaled down; 0: no limit")
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="type of matrix products; weights, gradients and optimizer stay fp32, and so does the saved model"
    )
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

    def total_steps(self, context: int) -> int:
        """Optimizer steps for sequences of `context` tokens; at least 1."""
        return self.steps or max(1, round(self.tokens / (self.global_batch * context)))

    def batch_at(self, update: int) -> int:
        """Sequences in update number `update`, from 0."""
        return self.global_batch

    def place_of(self, update: int) -> int:
        """Sequences in all updates before number `update`, from 0: its place in the order of samples."""
        return update * self.global_batch


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
    weight_decay: float = Field(0.0, ge=0, description="AdamW's decay of matrices; norms have none")
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
    micro_batch: int = Field(0, ge=0, description="sequences computed at once in a worker; 0: chosen (about 2,048 tokens)")
    checkpoint_every_steps: int = Field(100, ge=1, description="steps between checkpoints")
    keep_every_steps: int = Field(0, ge=0, description="steps between model directories kept for good in keep_in; 0: none")
    keep_best: bool = Field(False, description="keep the weights of the lowest validation loss in keep_in")
    keep_in: str = Field("", description="folder for what is kept for good; relative to the root; empty: nothing is")
    keep_last: int = Field(2, ge=1, description="checkpoints kept while training goes on, the newest of them in force")
    stall_seconds: float = Field(600, gt=0, description="silence after which the workers are taken for dead; seconds")
