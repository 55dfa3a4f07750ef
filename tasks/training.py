"""What the training stages share: a job that worker processes run; started again under the same key, it goes on from its checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, Field

from model.networks.config import DecoderConfig
from model.training.config import DpoConfig, PretrainConfig, SftConfig
from tasks.base.epochs import tell_epochs
from tasks.resources import PipelineResources
from tasks.stage.stage import Metrics, Workspace

SERIES_ROWS = 1000  # MLflow takes as many in one call


class Pretraining(BaseModel, frozen=True, extra="forbid"):
    """All that decides a pretrained model besides its tokens."""

    model: DecoderConfig
    train: PretrainConfig
    seed: int = Field(description="of initial weights and sample order")


class Tuning(BaseModel, frozen=True, extra="forbid"):
    """All that decides a tuned model besides its tokens and the model it starts from."""

    train: SftConfig | DpoConfig
    seed: int = Field(description="of sample order")


def train(config: Pretraining | Tuning, work: Workspace, *, shards: Path, initial: Path | None = None) -> Metrics:
    """Train on `shards/train`, measure on `shards/val`, write a model directory. Returns the last values of each metric."""
    from model.networks.directory import read_config
    from model.training.job import Job
    from model.training.launch.launch import launch
    from model.training.telemetry.progress import Progress

    if isinstance(config, Pretraining):
        decoder = config.model
    elif initial is not None:
        decoder = read_config(initial)[0]
    else:
        raise ValueError("initial: tuning needs the model directory that it starts from")
    described = json.loads((shards / "train" / "shards.json").read_text())
    assert isinstance(work.resources, PipelineResources)
    resources = work.resources.training
    job = Job(
        decoder=decoder,
        vocab_size=described["vocab_size"],
        train=config.train,
        resources=resources.suited(config.train.objective),
        seed=config.seed,
        tokenizer_digest=described["tokenizer_digest"],
        train_shards=shards / "train",
        val_shards=shards / "val",
        initial_model=initial,
        retained=work.root / resources.keep_in if resources.keep_in else None,
        output=work.output,
        checkpoints=work.resume,
    )
    waiting: list[tuple[str, float, int]] = []

    def show(progress: Progress) -> None:
        speed = f", {progress.tokens_per_second:,.0f} tokens/s" if progress.tokens_per_second else ""
        mfu = f", MFU {progress.mfu:.0%}" if progress.mfu is not None else ""
        work.meter.show(progress.step, progress.steps, progress.note or f"loss {progress.loss:.3f}{speed}{mfu}", progress.seconds_left)
        work.uses(progress.devices)
        for step in progress.metrics:
            waiting.extend((f"train.{name}", value, round(step["step"])) for name, value in step.items() if name not in ("step", "seconds"))
        if len(waiting) >= SERIES_ROWS:
            work.series(waiting)
            waiting.clear()

    metrics = tell_epochs(job, work) | launch(job, on_progress=show)
    work.series(waiting)
    return metrics
