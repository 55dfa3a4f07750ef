"""The memory that is said of LoRA and QLoRA, and that a training process took: `python -m tests.benchmarks.adapted_memory [SHAPE ...]`.

Shapes are those of open models, their weights drawn. Each is trained for two steps of four rows of 256 tokens in a process of its own,
with the environment that folio's workers have; of those too large for most machines the memory is only said. Used is the peak of memory
that is the process's own: pages of a mapped file, which the system may take back, are left out.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from model.adapters.config import AdapterConfig
from model.adapters.lora import LoraConfig
from model.adapters.qlora import QLoraConfig
from model.networks.config import DecoderConfig
from model.networks.meta import count_parameters
from model.planning.memory import worker_memory
from model.training.config import PretrainConfig, TrainResources
from model.training.job import Job
from model.training.launch.commands import worker_environment
from tests.model.jobs import DIGEST, write_shards

ROOT = Path(__file__).parents[2]
STATUS = Path("/proc/self/status")
STEPS, ROWS = 2, 4


def _shape(width: int, layers: int, heads: int, kv_heads: int, feed_forward: int, *, tied: bool) -> DecoderConfig:
    return DecoderConfig(
        width=width, layers=layers, heads=heads, kv_heads=kv_heads, feed_forward=feed_forward, context=256, tied_embeddings=tied
    )


# SmolLM2-135M, and Qwen2.5 of 0.5, 1.5 and 7 billion.
SHAPES = {
    "0.1": (_shape(576, 30, 9, 3, 1536, tied=True), 49_152),
    "0.5": (_shape(896, 24, 14, 2, 4864, tied=True), 151_936),
    "1.5": (_shape(1536, 28, 12, 2, 8960, tied=True), 151_936),
    "7": (_shape(3584, 28, 28, 4, 18944, tied=False), 152_064),
}
TRAINED = ("0.1", "0.5")
ADAPTERS: tuple[AdapterConfig, ...] = (LoraConfig(kind="lora", rank=16, alpha=32), QLoraConfig(kind="qlora", rank=16, alpha=32))


def job_of(name: str, adapter: AdapterConfig, precision: str, folder: Path) -> Job:
    """Return a training of the shape in the folder's shards and from the model there."""
    shape, vocabulary = SHAPES[name]
    train = {"tokens": 0, "steps": STEPS, "global_batch": ROWS, "eval_rows": ROWS, "optimizer": "adamw", "warmup_steps": 1}
    return Job(
        network=shape,
        vocab_size=vocabulary,
        train=PretrainConfig.model_validate({**train, "precision": precision, "adapter": adapter}),
        tokenizer_digest=DIGEST,
        resources=TrainResources(checkpoint_every_steps=1),
        train_shards=folder / "train",
        val_shards=folder / "val",
        initial_model=folder / "model",
        output=folder / "output" / f"{adapter.kind}-{precision}",
        checkpoints=folder / "checkpoints" / f"{adapter.kind}-{precision}",
    )


def draw(name: str, folder: Path) -> None:
    """Write a model of the shape with drawn weights, and rows of drawn tokens."""
    from model.networks.directory import TOKENIZER_DIGEST, save_model

    shape, vocabulary = SHAPES[name]
    tokens = np.random.default_rng(0).integers(7, 60_000 if vocabulary > 60_000 else vocabulary, (ROWS * STEPS, shape.context + 1))
    columns = {"tokens": tokens.astype(np.uint16), "document": np.zeros_like(tokens, np.uint16), "loss": np.ones(tokens.shape, np.bool_)}
    for split in ("train", "val"):
        write_shards(folder / split, "pretrain", columns, vocabulary)
    save_model(shape.build(vocabulary, seed=1), folder / "model", extra={TOKENIZER_DIGEST: DIGEST})


def trained(file: Path) -> None:
    """Train a job in this process; print what was resident before the model was loaded and what it then took of its own at most, in all."""
    from model.hardware.peak import resident_bytes
    from model.training.distributed import WorkerRank, import_deepspeed, join

    job, alone = Job.model_validate_json(file.read_text(encoding="utf-8")), WorkerRank(0, 0, 1)
    import_deepspeed()
    join(alone)
    from model.training import engine
    from model.training.trainer import Trainer

    engine.CHANGE_EVERY = 1
    job.run_directory().mkdir(parents=True, exist_ok=True)
    before, own, most, ended = resident_bytes(), _own_bytes(), [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.01):
            most[0] = max(most[0], _own_bytes())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    Trainer(job, alone).train()
    ended.set()
    watcher.join()
    print(before + most[0] - own, flush=True)


def _own_bytes() -> int:
    """Resident bytes of this process that no file backs."""
    lines = STATUS.read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon:")).split()[1]) * 1024


def used_by(job: Job, folder: Path) -> int:
    """Train in a process of its own; return the most bytes that were resident, of mapped files those from before the model was loaded."""
    file = folder / "job.json"
    file.write_text(job.model_dump_json(), encoding="utf-8")
    command = [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.adapted_memory", "--job", str(file)]
    environment = {**os.environ, **worker_environment(), "OMP_NUM_THREADS": "2"}
    ended = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return int(ended.stdout.split()[-1])


def table(names: list[str], precisions: tuple[str, ...] = ("bf16",)) -> None:
    """Print, of each shape, adapter and number type, the memory said and used, and how long saying it took."""
    print(f"{'billions':>8} {'adapter':8} {'numbers':8} {'said MB':>8} {'used MB':>8} {'said/used':>9} {'in s':>6}")
    for name in names:
        with tempfile.TemporaryDirectory() as where:
            folder, measured = Path(where), name in TRAINED
            if measured:
                draw(name, folder)
            for adapter in ADAPTERS:
                for precision in precisions:
                    began = time.perf_counter()
                    job = job_of(name, adapter, precision, folder)
                    said = worker_memory(job, accelerator=False).total
                    seconds = time.perf_counter() - began
                    used = used_by(job, folder) if measured else 0
                    parameters = count_parameters(*SHAPES[name]) / 1e9
                    figures = f"{used / 1e6:8.0f} {said / used:9.2f}" if measured else f"{'-':>8} {'-':>9}"
                    print(f"{parameters:8.2f} {adapter.kind:8} {precision:8} {said / 1e6:8.0f} {figures} {seconds:6.1f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--job"]:
        trained(Path(sys.argv[2]))
    else:
        table(sys.argv[1:] or list(SHAPES))
