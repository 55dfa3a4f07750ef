"""Small shards and jobs for the trainer's tests."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from model.networks.config import DecoderConfig
from model.training.config import PretrainConfig, SftConfig, TrainResources
from model.training.job import Job
from model.training.kinds.preferences import PreferenceConfig
from model.training.resources import ParallelConfig

VOCABULARY, CONTEXT = 64, 16
DIGEST = "d" * 64
SHAPE = DecoderConfig(width=32, layers=2, heads=4, kv_heads=2, feed_forward=64, context=CONTEXT)


def write_shards(directory: Path, kind: str, columns: dict[str, np.ndarray[Any, Any]], vocabulary: int = VOCABULARY) -> Path:
    """Write one shard file of the given columns, [rows, context + 1] each, as the format says."""
    directory.mkdir(parents=True)
    rows, width = next(iter(columns.values())).shape
    arrays = {
        name: pa.FixedSizeListArray.from_arrays(
            pa.array(values.reshape(-1), type=pa.bool_() if name.endswith("loss") else pa.uint16()), width
        )
        for name, values in columns.items()
    }
    batch = pa.record_batch(list(arrays.values()), names=list(arrays))
    path = directory / "00000.arrow"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    metadata = {
        "format": 1,
        "kind": kind,
        "sequence_length": width - 1,
        "vocab_size": vocabulary,
        "tokenizer_digest": DIGEST,
        "dtype": "uint16",
        "files": [{"name": path.name, "rows": rows, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}],
        "rows": rows,
        "tokens": rows * width,
        "targets": rows * (width - 1),
        "bytes": rows * width,
    }
    (directory / "shards.json").write_text(json.dumps(metadata), encoding="utf-8")
    return directory


def packed_rows(rows: int, seed: int) -> dict[str, np.ndarray[Any, Any]]:
    """Learnable rows: each token is mostly its predecessor plus 1; some rows hold two documents, some targets don't count."""
    random = np.random.default_rng(seed)
    steps = np.where(random.random((rows, CONTEXT + 1)) < 0.9, 1, random.integers(2, 9, (rows, CONTEXT + 1)))
    tokens = 7 + (random.integers(0, 57, (rows, 1)) + steps.cumsum(axis=1)) % 57
    document = np.zeros_like(tokens)
    document[::3, 9:] = 1
    loss = random.random(tokens.shape) < np.linspace(0.3, 1, rows)[:, None]
    loss[::3, 9] = False
    return {"tokens": tokens.astype(np.uint16), "document": document.astype(np.uint16), "loss": loss}


def preference_rows(rows: int, seed: int) -> dict[str, np.ndarray[Any, Any]]:
    """Pairs whose chosen answer counts up and whose rejected one counts down; answers begin at position 4."""
    random = np.random.default_rng(seed)
    positions = np.arange(CONTEXT + 1)
    start = random.integers(20, 40, (rows, 1))
    counted = np.broadcast_to((positions >= 4) & (positions < 12), (rows, CONTEXT + 1))
    chosen, rejected = start + positions, np.where(positions < 4, start + positions, start - positions)
    return {
        "chosen": np.where(positions < 12, chosen, 0).astype(np.uint16),
        "chosen_loss": counted.copy(),
        "rejected": np.where(positions < 12, rejected, 0).astype(np.uint16),
        "rejected_loss": counted.copy(),
    }


JobMaker = Callable[..., Job]


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """train, val, sft and preference shard directories."""
    directory = tmp_path_factory.mktemp("shards")
    write_shards(directory / "train", "pretrain", packed_rows(50, seed=1))
    write_shards(directory / "val", "pretrain", packed_rows(11, seed=2))
    write_shards(directory / "sft", "sft", packed_rows(20, seed=3))
    write_shards(directory / "preference", "preference", preference_rows(20, seed=4))
    return directory


@pytest.fixture
def make_job(shards: Path, tmp_path: Path) -> JobMaker:
    """A pretraining job of a few steps; keyword arguments change train fields, `resources` (of `parallel`, too) and `name` apart."""

    def make(name: str = "run", resources: dict[str, Any] | None = None, **train: Any) -> Job:
        options = dict(resources or {})
        parallel = {name: options.pop(name) for name in ParallelConfig.model_fields if name in options}
        fields: dict[str, Any] = {"optimizer": "adamw", "precision": "fp32", "steps": 6, "tokens": 0, "global_batch": 8}
        fields |= {"learning_rate": 1e-2, "eval_rows": 7, **train}
        fields.setdefault("warmup_steps", min(2, fields["steps"]))
        return Job(
            network=SHAPE,
            vocab_size=VOCABULARY,
            train=PretrainConfig(**fields),
            seed=5,
            tokenizer_digest=DIGEST,
            resources=TrainResources(**{"threads": 1, "micro_batch": 4, "checkpoint_every_steps": 5, "parallel": parallel, **options}),
            train_shards=shards / "train",
            val_shards=shards / "val",
            output=tmp_path / name / "output",
            checkpoints=tmp_path / name / "checkpoints",
        )

    return make


def follow_up(job: Job, shards: Path, config: SftConfig | PreferenceConfig, name: str) -> Job:
    """A job that starts from the model of `job`."""
    kind = config.READS
    folder = job.checkpoints.parent.parent / name
    return job.model_copy(
        update={
            "train": config,
            "initial_model": job.output,
            "train_shards": shards / kind,
            "val_shards": shards / kind,
            "output": folder / "output",
            "checkpoints": folder / "checkpoints",
        }
    )


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
