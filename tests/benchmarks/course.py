"""What recipes that are compared share: packed rows in one order, the measure of their validation split, and how long a step takes.

Time is processor time, user's and system's, so that a busy machine decides nothing. It is kept beside each run: a comparison that was
interrupted goes on with the same figures.
"""

from __future__ import annotations

import json
import math
import resource
import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from data.shards.durable import write_atomically
from data.shards.metadata import read_metadata
from model.networks.config import DecoderConfig
from model.training.config import PretrainConfig, TrainResources
from model.training.job import Job
from model.training.launch.launch import launch
from model.training.telemetry.step_log import read_lines

SHORT = 10  # steps of the short run that a step is timed by


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
        self.spent(job)
        return read_lines(job.output / "history.jsonl")[-1]

    def spent(self, job: Job) -> float:
        """Return the processor time of a run, start and measurement included; seconds. It is made first unless it was before."""
        record = job.output.parent / "cpu_seconds.json"
        if not self.made(job):
            shutil.rmtree(job.output.parent, ignore_errors=True)  # a part of it took a part of its time
            before = _children_seconds()
            launch(job)
            write_atomically(record, json.dumps(_children_seconds() - before).encode())
        return float(json.loads(record.read_text(encoding="utf-8")))

    def made(self, job: Job) -> bool:
        """Return whether a run was made before."""
        return (job.output.parent / "cpu_seconds.json").is_file()

    def step_seconds(self, short: Job, runs: Sequence[Job]) -> float:
        """Return the processor time of a step: the median over runs of what each took more than a short one, which starts as they do."""
        return statistics.median((self.spent(run) - self.spent(short)) / (run.total_steps - short.total_steps) for run in runs)

    def bits(self, loss: float) -> float:
        """Return the bits per byte of the validation split that a loss in nats a target comes to."""
        return loss / math.log(2) * self.val.targets / self.val.bytes


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
