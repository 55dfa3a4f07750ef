"""What recipes that are compared share: packed rows in one order, the measure of their validation split, and how long a step takes."""

from __future__ import annotations

import math
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data.shards.metadata import read_metadata
from model.networks.decoder_config import DecoderConfig
from model.training.config import PretrainConfig, TrainResources
from model.training.job import Job
from model.training.launch.launch import launch
from model.training.telemetry.step_log import read_lines

SHORT = 10  # steps of the shorter run that times a step


class Course:
    """Packed rows, a folder in which finished runs stay, threads, and how many validation rows are measured (0: all)."""

    def __init__(self, shards: Path, work: Path, threads: int, rows: int) -> None:
        self.shards, self.work, self.threads = shards, work, threads
        self.train, self.val = read_metadata(shards / "train"), read_metadata(shards / "val")
        self.rows = min(rows or self.val.rows, self.val.rows)

    def job(self, name: str, network: DecoderConfig, train: dict[str, Any], seed: int) -> Job:
        """Return a run that is measured at its end, in a folder of its own."""
        job = Job(
            network=network,
            vocab_size=self.train.vocab_size,
            train=PretrainConfig.model_validate({**train, "tokens": 0, "eval_every": 0, "eval_rows": self.rows}).resolved(),
            resources=TrainResources(threads=self.threads),
            seed=seed,
            tokenizer_digest=self.train.tokenizer_digest,
            train_shards=self.shards / "train",
            val_shards=self.shards / "val",
            output=self.work,
            checkpoints=self.work,
        )
        folder = self.work / f"{name.strip('+ ').replace(' ', '_')}-{job.identity()[:16]}"
        return job.model_copy(update={"output": folder / "output", "checkpoints": folder / "checkpoints"})

    def last(self, job: Job) -> dict[str, Any]:
        """Return the last line of a run's log; it is made first unless it was before."""
        if not self.made(job):
            launch(job)
        return read_lines(job.output / "history.jsonl")[-1]

    def made(self, job: Job) -> bool:
        """Return whether a run was made before."""
        history = job.output / "history.jsonl"
        return history.is_file() and len(read_lines(history)) == job.total_steps

    def bits(self, loss: float) -> float:
        """Return the bits per byte of the validation split that a loss in nats a target comes to."""
        return loss / math.log(2) * self.val.targets / self.val.bytes


def step_seconds(job_of: Callable[[int], Job]) -> float:
    """Return the processor time of a step: of a short run and a shorter one, whose difference the start is no part of."""
    spent = []
    for steps in (SHORT, 4 * SHORT):
        job = job_of(steps)
        shutil.rmtree(job.output.parent, ignore_errors=True)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        launch(job)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return (spent[1] - spent[0]) / (3 * SHORT)
