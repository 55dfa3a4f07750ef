"""A job: everything that the worker processes need to know, as one JSON file.

Inputs are bound by digest. Shards and initial model must have the job's tokenizer digest, and a checkpoint is continued only by the job
that began it (`identity`).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, Field, model_validator

from data.shards.durable import file_digest
from model.networks.base import NetworkBase
from model.networks.config import DecoderShape, NetworkConfig
from model.networks.directory import HEADS, TOKENIZER_DIGEST, weight_files
from model.training.config import ObjectiveConfig, TrainResources
from model.training.parallel.compatibility import incompatibilities

if TYPE_CHECKING:
    from model.objectives.protocol import Objective


class JobError(ValueError):
    """The job and its inputs do not fit together."""


class Job(BaseModel, frozen=True, extra="forbid", defer_build=True):
    """One training run. Paths are absolute or relative to the launching process."""

    network: NetworkConfig
    vocab_size: int = Field(ge=2, description="tokens in the vocabulary")
    train: ObjectiveConfig
    resources: TrainResources = TrainResources()
    seed: int = Field(0, ge=0, description="decides initial weights and the order of rows")
    row_length: int = Field(0, ge=0, description="targets in a row, where that is less than the network's context; tokens; 0: the context")
    tokenizer_digest: str = Field(description="SHA-256 of tokenizer.json; shards made with another are refused")
    train_shards: Path | None = Field(None, description="packed rows to learn from, for a kind of training that reads them")
    val_shards: Path | None = None
    replayed: Path | None = Field(None, description="packed rows of pretraining, train and val, for a step of tuning that replays some")
    questions: Path | None = Field(None, description="JSON lines of questions with answers, for a kind of training that samples replies")
    tokenizer: Path | None = Field(None, description="the tokenizer's directory, in whose chat format questions are asked")
    reward_model: Path | None = Field(None, description="model directory whose head scores sampled replies")
    initial_model: Path | None = Field(None, description="model directory to start from; None: fresh weights")
    output: Path = Field(description="where the model directory is written at the end")
    retained: Path | None = Field(None, description="where model directories are retained that resources ask for; None: nowhere")
    micro_batch_bytes: dict[int, int] = Field(
        {}, description="bytes of an accelerator that a worker needs, by sequences computed at once; empty: nothing was estimated"
    )
    checkpoints: Path = Field(description="folder that must outlive a killed run; keep it until the output is committed")

    @model_validator(mode="after")
    def _sections_fit(self) -> Job:
        if problems := list(incompatibilities(self.network, self.train, self.resources, row_length=self.row_length)):
            raise ValueError("; ".join(problems))
        if self.train.resolved() != self.train:
            raise ValueError(f"precision={self.train.precision.kind} is for a recipe; give a job what it comes to: train.resolved()")
        if missing := [name for name in self.train.INPUTS if getattr(self, name) is None]:
            raise ValueError(f"{missing[0]} is missing: kind={self.train.kind} learns from {' and '.join(self.train.INPUTS)}")
        unread = {"train_shards", "val_shards", "questions", "tokenizer"}.difference(self.train.INPUTS)
        if "train_shards" in self.train.INPUTS:
            unread.discard("val_shards")
        if given := sorted(name for name in unread if getattr(self, name) is not None):
            raise ValueError(f"{given[0]} is given, but kind={self.train.kind} reads {' and '.join(self.train.INPUTS)}; leave it out")
        if (self.replayed is None) != (not self.train.replay_share):
            has = "missing" if self.replayed is None else "given"
            raise ValueError(f"replayed is {has}, but replay={self.train.replay_share}; give packed rows if and only if some are replayed")
        if (self.reward_model is None) == bool(self.train.judge):
            has = "missing" if self.reward_model is None else "given"
            raise ValueError(f"reward_model is {has}, but kind={self.train.kind} names {self.train.judge or 'none'}")
        if self.train.MODELS and self.initial_model is None:
            raise ValueError(f"initial_model is missing: kind={self.train.kind} needs it as {' and '.join(self.train.MODELS)}")
        if self.train.adapter.KEEPS_BASE and self.initial_model is None:
            raise ValueError(f"initial_model is missing: adapter.kind={self.train.adapter.kind} trains changes of its weights")
        if self.train.select == "best" and self.val_shards is None:
            raise ValueError("select=best needs val_shards to find the best weights; give them, or select=last")
        return self

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the whole job."""
        return self.train.total_steps(self.length)

    @property
    def length(self) -> int:
        """Targets in a row of what is learned from; tokens."""
        return self.row_length or self.network.context

    @property
    def counted_network(self) -> NetworkBase:
        """The network with a context of one row: what its operations and activations are counted on, never what is computed with."""
        return self.network if self.length == self.network.context else self.network.model_copy(update={"context": self.length})

    @property
    def micro_batch(self) -> int:
        """Sequences computed at once: the largest divisor of a worker's share up to `resources.micro_batch`, or up to 2,048 tokens.

        Activations of about 2,048 tokens stay in a core's cache; larger micro-batches ran slower on a CPU. A worker with an accelerator
        sets `resources.micro_batch` to what fits before it begins (`micro_batch.py`). A pipeline needs at least as many
        micro-batches as stages. A network with statistics of the whole batch needs the share whole.
        """
        share = self.train.smallest_batch // self.resources.parallel.data_workers
        if self.network.whole_batch:
            return share
        most = min(self.resources.micro_batch or 2048 // self.length, share // self.resources.parallel.pipeline)
        return max(size for size in range(1, share + 1) if share % size == 0 and size <= max(1, most))

    def build_objective(self) -> Objective:
        """Return what this network learns, and beside it what keeps its experts in even use."""
        objective = self.train.build_objective(self.network)
        settings = self.network.experts if isinstance(self.network, DecoderShape) else None
        if settings is None or not self.train.balances_experts:
            return objective
        from model.objectives.next_token import NextToken
        from model.objectives.routed import Routed

        assert isinstance(objective, NextToken), f"kind={self.train.kind} balances experts, so it reads rows of tokens once"
        return Routed(objective, settings)

    def absolute(self) -> Job:
        """Return the job with every path absolute, wherever in it, since workers may start in another folder."""
        return _absolute(self)

    def with_micro_batch(self, size: int) -> Job:
        """Return the job with micro-batches of at most so many sequences."""
        return self.model_copy(update={"resources": self.resources.model_copy(update={"micro_batch": size})})

    @property
    def model_metadata(self) -> dict[str, str]:
        """The keys of config.json besides the shape: the digest of the model's tokenizer."""
        return {TOKENIZER_DIGEST: self.tokenizer_digest}

    def identity(self) -> str:
        """Return the SHA-256 of what the weights depend on: configs, seed, and the digests of the inputs."""
        parts = {
            "network": self.network.model_dump(mode="json"),
            "vocab_size": self.vocab_size,
            "train": self.train.model_dump(mode="json", exclude={"name", "gate"}),
            "seed": self.seed,
            "tokenizer": self.tokenizer_digest,
            "train_shards": _sha256(self.train_shards / "shards.json") if self.train_shards else None,
            "val_shards": _sha256(self.val_shards / "shards.json") if self.val_shards else None,
            "replayed": [_sha256(self.replayed / part / "shards.json") for part in ("train", "val")] if self.replayed else None,
            "questions": _sha256(self.questions) if self.questions else None,
            "chat_template": _sha256(self.tokenizer / "chat_template.jinja") if self.tokenizer else None,
            **({"reward_model": [_sha256(path) for path in _judge_files(self.reward_model)]} if self.reward_model else {}),
            "initial_model": [_sha256(path) for path in weight_files(self.initial_model)] if self.initial_model else None,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def run_directory(self) -> Path:
        """The folder that launcher and workers share: job file, progress, logs. Emptied at each launch."""
        return self.checkpoints / "run"


Part = TypeVar("Part")


def _absolute(part: Part) -> Part:
    """Return a part of a job with its paths resolved: values that are paths, and text that its field's schema calls one."""
    if isinstance(part, Path):
        return part.resolve()
    if isinstance(part, tuple):
        return tuple(map(_absolute, part))  # type: ignore[return-value]
    if isinstance(part, dict):
        return {name: _absolute(value) for name, value in part.items()}  # type: ignore[return-value]
    if not isinstance(part, BaseModel):
        return part
    found: dict[str, object] = {}
    for name in type(part).model_fields:
        value, extra = getattr(part, name), type(part).model_fields[name].json_schema_extra
        named = isinstance(extra, dict) and extra.get("format") == "path"
        found[name] = str(Path(value).resolve()) if named and value else _absolute(value)
    changed = {name: value for name, value in found.items() if value != getattr(part, name)}
    return part.model_copy(update=changed) if changed else part


def _judge_files(directory: Path) -> list[Path]:
    """The files of a reward model that scores follow from."""
    return [*weight_files(directory), directory / HEADS]


def _sha256(path: Path) -> str:
    try:
        return file_digest(path)
    except FileNotFoundError:
        raise JobError(f"{path} does not exist: this input of the job is missing or of another kind") from None
