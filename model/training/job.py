"""A job: all that the worker processes are told, as one JSON file.

Guarantee: inputs are bound by digest. Shards and initial model must carry the tokenizer digest that the job names,
and a checkpoint is continued only by the job that began it (`identity`); anything else is an error that names both.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pydantic import BaseModel, Field, model_validator

from model.networks.config import DecoderConfig
from model.networks.directory import TOKENIZER_DIGEST, weight_files
from model.training.config import ObjectiveConfig, TrainResources
from model.training.parallel.compatibility import incompatibilities


class JobError(ValueError):
    """The job asks for what its inputs do not give."""


class Job(BaseModel, frozen=True, extra="forbid"):
    """One training run. Paths are absolute or relative to the launching process."""

    decoder: DecoderConfig
    vocab_size: int = Field(ge=2, description="tokens in the vocabulary")
    train: ObjectiveConfig
    resources: TrainResources = TrainResources()
    seed: int = Field(0, ge=0, description="of initial weights and of the order of rows")
    tokenizer_digest: str = Field(description="SHA-256 of tokenizer.json; shards made with another are refused")
    train_shards: Path
    val_shards: Path | None = None
    initial_model: Path | None = Field(None, description="model directory to start from; None: fresh weights")
    output: Path = Field(description="where the model directory is written at the end")
    retained: Path | None = Field(None, description="where model directories are retained that resources ask for; None: nowhere")
    checkpoints: Path = Field(description="what must outlive a killed run: keep it until the output is committed")

    @model_validator(mode="after")
    def _sections_fit(self) -> Job:
        if problems := list(incompatibilities(self.decoder, self.train, self.resources)):
            raise ValueError("; ".join(problems))
        if self.train.objective == "dpo" and self.initial_model is None:
            raise ValueError("initial_model is missing: DPO needs the model that it starts from and is held to")
        if self.train.select == "best" and self.val_shards is None:
            raise ValueError("select=best needs val_shards: without them no weights are the best; give them, or select=last")
        return self

    @property
    def total_steps(self) -> int:
        return self.train.total_steps(self.decoder.context)

    @property
    def micro_batch(self) -> int:
        """Sequences computed at once: the largest divisor of a worker's share within `resources.micro_batch`, or within 2,048 tokens.

        Activations of about that many tokens stay in a core's cache; larger micro-batches ran slower on a CPU. A pipeline is filled by as
        many micro-batches as it has stages. Batch norm sees a share whole.
        """
        share = self.train.smallest_batch // self.resources.parallel.data_workers
        if self.decoder.norm == "batch":
            return share
        most = min(self.resources.micro_batch or 2048 // self.decoder.context, share // self.resources.parallel.pipeline)
        return max(size for size in range(1, share + 1) if share % size == 0 and size <= max(1, most))

    @property
    def model_metadata(self) -> dict[str, str]:
        """What a model directory of this job says beside its shape: whose tokens it speaks."""
        return {TOKENIZER_DIGEST: self.tokenizer_digest}

    def identity(self) -> str:
        """SHA-256 of what the weights depend on: the configs, the seed, and the inputs' own digests."""
        parts = {
            "decoder": self.decoder.model_dump(mode="json"),
            "vocab_size": self.vocab_size,
            "train": self.train.model_dump(mode="json"),
            "seed": self.seed,
            "tokenizer": self.tokenizer_digest,
            "train_shards": _sha256(self.train_shards / "shards.json"),
            "val_shards": _sha256(self.val_shards / "shards.json") if self.val_shards else None,
            "initial_model": [_sha256(path) for path in weight_files(self.initial_model)] if self.initial_model else None,
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def run_directory(self) -> Path:
        """Where launcher and workers meet: job file, progress, errors. Emptied at each launch."""
        return self.checkpoints / "run"


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError:
        raise JobError(f"{path} does not exist: the job's input is missing or is of another kind") from None
