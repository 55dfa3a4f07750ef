"""The memory that the planner says, and that a training process on a CPU took: `python -m tests.benchmarks.planned_memory [OPTIMIZER ...]`.

Each training is a real one of four steps, in a process of its own. What comes every hundred steps, a checkpoint, and every fifty, the copy
of the weights for the size of the update, comes in every second of these and in all of them. Used is the peak of resident memory less what
was resident before the model was built; libraries loaded from there on count.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np

from model.networks.config import DecoderConfig
from model.planning.memory import worker_memory
from model.training.config import PretrainConfig, TrainResources
from model.training.job import Job
from model.training.launch.commands import worker_environment
from model.training.optimizers.config import OptimizerConfig
from tests.model.jobs import DIGEST, write_shards

ROOT = Path(__file__).parents[2]
STEPS = 4
OPTIMIZERS = [kind.model_fields["kind"].default for kind in get_args(get_args(OptimizerConfig)[0])]


class Case(NamedTuple):
    """A training: its shape, vocabulary and sequences at once, of which a batch has two lots."""

    width: int
    layers: int
    feed_forward: int
    context: int
    vocabulary: int
    rows: int
    stage: int = 0
    precision: str = "fp32"


class Found(NamedTuple):
    """Bytes that the planner says and that the process took, both beyond those before the model was built."""

    said: int
    used: int

    @property
    def ratio(self) -> float:
        """What is said for each byte that was used."""
        return self.said / self.used


def generated(number: int, optimizer: str) -> Case:
    """Return a case drawn at random, of a ZeRO stage that the optimizer works with: 0.4 to 60 million parameters, 64 to 2,048 tokens."""
    draw = np.random.default_rng(number)
    width = 64 * int(draw.integers(2, 11))
    context = int(draw.choice([64, 128, 256]))
    rows = int(max(1, min(draw.choice([1, 2, 4, 8]), 2048 // context)))
    return Case(
        width,
        int(draw.integers(2, 9)),
        int(draw.choice([2, 3, 4])) * width,
        context,
        int(draw.choice([1024, 4096, 16384])),
        rows,
        stage=0 if optimizer == "adafactor" else int(draw.choice([0, 0, 1, 2])),
        precision=str(draw.choice(["fp32", "fp32", "bf16"])),
    )


def job_of(case: Case, optimizer: str, folder: Path) -> Job:
    """Return a training of the case, its rows written to the folder."""
    shape = DecoderConfig(
        width=case.width,
        layers=case.layers,
        heads=case.width // 64,
        kv_heads=case.width // 64,
        feed_forward=case.feed_forward,
        context=case.context,
    )
    if not (folder / "train").exists():
        draw, rows = np.random.default_rng(0), 2 * case.rows * STEPS
        tokens = draw.integers(7, case.vocabulary, (rows, case.context + 1)).astype(np.uint16)
        columns = {"tokens": tokens, "document": np.zeros_like(tokens), "loss": np.ones(tokens.shape, np.bool_)}
        for split in ("train", "val"):
            write_shards(folder / split, "pretrain", columns, case.vocabulary)
    return Job(
        network=shape,
        vocab_size=case.vocabulary,
        train=PretrainConfig.model_validate(
            {"tokens": 0, "steps": STEPS, "global_batch": 2 * case.rows, "eval_rows": case.rows}
            | {"optimizer": optimizer, "precision": case.precision, "warmup_steps": 1}
        ),
        tokenizer_digest=DIGEST,
        resources=TrainResources.model_validate(
            {"threads": 1, "micro_batch": case.rows, "checkpoint_every_steps": 2, "parallel": {"zero_stage": case.stage}}
        ),
        train_shards=folder / "train",
        val_shards=folder / "val",
        output=folder / "output",
        checkpoints=folder / "checkpoints",
    )


def compared(case: Case, optimizer: str) -> Found:
    """Train in a process of its own and return what was said and used."""
    with tempfile.TemporaryDirectory() as name:
        job = job_of(case, optimizer, Path(name))
        file = Path(name) / "job.json"
        file.write_text(job.model_dump_json(), encoding="utf-8")
        command = [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.planned_memory", "--job", str(file)]
        # As a run starts its workers, since how glibc treats freed memory decides the peak.
        environment = {**os.environ, **worker_environment()}
        ended = subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True)
    before, peak = map(int, ended.stdout.split()[-2:])
    return Found(worker_memory(job, accelerator=False, framework=before).total - before, peak - before)


def train(file: Path) -> None:
    """Train a job in this process and print the bytes resident before the model was built, and the most."""
    from model.hardware.peak import resident_bytes
    from model.training.distributed import WorkerRank, import_deepspeed, join

    job, alone = Job.model_validate_json(file.read_text(encoding="utf-8")), WorkerRank(0, 0, 1)
    import torch

    torch.set_num_threads(1)
    import_deepspeed()
    join(alone)
    from model.training import engine
    from model.training.trainer import Trainer

    engine.CHANGE_EVERY = 1
    job.run_directory().mkdir(parents=True, exist_ok=True)
    before = resident_bytes()
    Trainer(job, alone).train()
    print(before, resident_bytes(peak=True), flush=True)


def table(optimizers: list[str], cases: int = 4) -> None:
    """Print said, used and their ratio for each optimizer and so many cases, as they come."""
    print(f"{'optimizer':10} {'said MB':>8} {'used MB':>8} {'ratio':>6}  training")
    for number in range(cases):
        for optimizer in optimizers:
            case = generated(number, optimizer)
            found = compared(case, optimizer)
            print(f"{optimizer:10} {found.said / 1e6:8.0f} {found.used / 1e6:8.0f} {found.ratio:6.2f}  {case}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--job"]:
        train(Path(sys.argv[2]))
    else:
        table(sys.argv[1:] or OPTIMIZERS)
