"""Train in worker processes: a job from a stage's inputs, launched, its progress shown and recorded; or count, in this process.

Checkpoints are in the workspace's `resume` folder, so a run that was killed continues from the last one under the same key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from model.networks.base import NetworkBase
from model.networks.config import NgramConfig
from model.networks.directory import read_config, read_tokenizer_digest
from tasks.stage.stage import Metrics, Workspace
from tasks.stage.system.progress import log
from tasks.training.config import PipelineResources, Pretraining, Tuning

if TYPE_CHECKING:
    from model.training.job import Job

# Up to four epochs taught as much as new text (Muennighoff et al. 2023, "Scaling Data-Constrained Language Models").
MAX_USEFUL_EPOCHS = 4.0


def report_epochs(job: Job, work: Workspace) -> dict[str, float]:
    """Record and return `epochs`, or `epochs_<source>` for each source of a mixture."""
    from model.training.job_batches import count_epochs

    metrics = count_epochs(job)
    work.series([(f"train.{name}", value, 0) for name, value in metrics.items()])
    for name, value in metrics.items():
        if name != "epochs" and value > MAX_USEFUL_EPOCHS:
            source = name.removeprefix("epochs_")
            log(f"mixture: source {source} is repeated {value:.1f} times; beyond {MAX_USEFUL_EPOCHS:g} little is learned, lower its weight")
    return metrics


SERIES_ROWS = 1000  # the most that MLflow takes in one call


def train(
    config: Pretraining | Tuning,
    work: Workspace,
    *,
    shards: Path | None,
    initial: Path | None = None,
    replayed: Path | None = None,
    questions: Path | None = None,
    tokenizer: Path | None = None,
    judge: Path | None = None,
) -> Metrics:
    """Train and write a model directory; return the last value of each metric.

    Rows are `shards/train`, validated on `shards/val`, with some of `replayed` among them, or replies sampled to `questions` in the chat
    format of `tokenizer`, scored by the reward model `judge` if the step names one.
    """
    if isinstance(config, Pretraining) and isinstance(config.model, NgramConfig):
        return _count(config.model, work, shards)
    from model.planning.memory import with_memory_estimates
    from model.training.job import Job
    from model.training.launch.launch import kept_step, launch
    from model.training.telemetry.progress import Progress

    network: NetworkBase
    if isinstance(config, Pretraining):
        network = config.model
    elif initial is not None:
        network = read_config(initial)[0]
    else:
        raise ValueError("initial: tuning needs the model directory to start from")
    vocab_size, tokenizer_digest = _vocabulary(shards, initial)
    length = _row_length(shards)
    assert isinstance(work.resources, PipelineResources)
    resources = work.resources.training
    job = Job(
        network=network,
        vocab_size=vocab_size,
        train=config.train,
        resources=resources.for_training(config.train),
        seed=config.seed,
        row_length=length if length < network.context else 0,
        tokenizer_digest=tokenizer_digest,
        train_shards=shards and shards / "train",
        val_shards=shards and shards / "val",
        replayed=replayed,
        questions=questions,
        tokenizer=tokenizer,
        reward_model=judge,
        initial_model=initial,
        retained=work.root / resources.keep_in if resources.keep_in else None,
        output=work.output,
        checkpoints=work.resume,
    )
    rows: list[tuple[str, float, int]] = []

    def show(progress: Progress) -> None:
        speed = f", {progress.tokens_per_second:,.0f} tokens/s" if progress.tokens_per_second else ""
        mfu = f", MFU {progress.mfu:.0%}" if progress.mfu is not None else ""
        work.meter.show(progress.step, progress.steps, progress.note or f"loss {progress.loss:.3f}{speed}{mfu}", progress.seconds_left)
        work.uses(progress.devices)
        for step in progress.metrics:
            rows.extend((f"train.{name}", value, round(step["step"])) for name, value in step.items() if name not in ("step", "seconds"))
        if len(rows) >= SERIES_ROWS:
            work.series(rows)
            rows.clear()

    if step := kept_step(job):
        log(f"{work.meter.label}: continues from step {step} of {job.total_steps}")
    metrics = report_epochs(job, work) | launch(with_memory_estimates(job), on_progress=show)
    work.series(rows)
    return metrics


def _count(config: NgramConfig, work: Workspace, shards: Path | None) -> Metrics:
    from model.networks.ngram import count_model

    if shards is None:
        raise ValueError("shards: counting needs rows")
    metrics = count_model(config, shards, work.output)
    if metrics["rows_counted"] < metrics["rows"]:
        log(
            f"counted {metrics['rows_counted']:,.0f} of {metrics['rows']:,.0f} rows, spread evenly, since model.most_tokens="
            f"{config.most_tokens:,}; raise it for all of them"
        )
    return metrics


def _vocabulary(shards: Path | None, initial: Path | None) -> tuple[int, str]:
    """Return the size of the vocabulary and the digest of the tokenizer that the rows are of, or without rows the model."""
    if shards is not None:
        index = json.loads((shards / "train" / "shards.json").read_text())
        return index["vocab_size"], index["tokenizer_digest"]
    if initial is None:
        raise ValueError("shards: training needs rows to learn from, or a model that makes them")
    digest = read_tokenizer_digest(initial)
    if digest is None:
        raise ValueError(f"{initial} does not say which tokenizer it uses; train it on shards first")
    return read_config(initial)[1], digest


def _row_length(shards: Path | None) -> int:
    """Return how many targets the rows have; 0 for a kind of training that makes its own rows."""
    return int(json.loads((shards / "train" / "shards.json").read_text())["sequence_length"]) if shards is not None else 0
