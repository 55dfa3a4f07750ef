"""The part of `tests.benchmarks.pretrain` that holds an accelerator to a CPU: the same job, step for step, by loss.

Rows hold several documents, so that masks are computed; they can be learned, so that equal curves prove something. The CPU's curve comes
from the same machine, its cards hidden.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from data.tokens.token_shards import TokenShardWriter
from model.networks.config import DecoderConfig
from model.training.config import PretrainConfig
from model.training.launch.launch import launch
from model.training.telemetry.step_log import read_lines
from tests.benchmarks.contest import Table
from tests.benchmarks.pretrain_jobs import VocabularyOnly, make_job

VOCABULARY, STEPS, BATCH = 512, 30, 32
SHAPE = DecoderConfig(width=128, layers=4, heads=4, kv_heads=2, feed_forward=344, context=128)
NEAR = {"fp32": 1e-3, "bf16": 2e-2}  # nats; TF32 is off unless it is asked for
CARDS = (2, 8)


class Case(NamedTuple):
    """A job: on how many cards, in which precision, and what else of its training and resources."""

    name: str
    workers: int
    precision: str
    resources: Mapping[str, Any] = {}
    train: Mapping[str, Any] = {}


def cases(counts: tuple[int, ...]) -> list[Case]:
    """One card in each precision, optimizer and way to save memory; then every ZeRO stage on several."""
    alone = [
        Case("1 card, fp32", 1, "fp32"),
        Case("1 card, bf16", 1, "bf16"),
        Case("1 card, fp32, Muon", 1, "fp32", {}, {"optimizer": "muon"}),
        Case("1 card, fp32, recomputed blocks", 1, "fp32", {"recompute": "blocks"}),
        Case("1 card, bf16, compiled", 1, "bf16", {"compile": True}),
    ]
    together = [
        Case(f"{count} cards, ZeRO {stage}, fp32", count, "fp32", {"parallel": {"workers": count, "zero_stage": stage}})
        for count in counts
        for stage in range(4)
    ]
    return alone + together


def gpu_equal(table: Table, folder: Path, counts: tuple[int, ...] = CARDS) -> None:
    """Hold the losses of every case on this machine's cards to those of its CPU; a case that wants more cards is missed."""
    if not torch.cuda.is_available():
        raise SystemExit("--part gpu-equal: torch sees no CUDA device here; run it on a machine with one, or leave the part out")
    cards = torch.cuda.device_count()
    print(f"{cards} x {torch.cuda.get_device_name()}, {STEPS} steps of {BATCH} x {SHAPE.context} tokens, NCCL {torch.cuda.nccl.version()}")  # type: ignore[no-untyped-call]
    compare(table, folder, cases(counts), cards)


def compare(table: Table, folder: Path, wanted: list[Case], cards: int) -> None:
    """Add a row for each case: the largest difference of a loss from the CPU's, in nats."""
    shards = write_learnable_shards(folder / "train")
    table.head("the largest difference of a step's loss from one CPU worker's", "nats")
    expected: dict[str, list[float]] = {}
    for number, case in enumerate(wanted):
        if case.workers > cards:
            table.absent(case.name, f"needs {case.workers} cards, and {cards} are here")
            continue
        alone = case._replace(workers=1, resources={})
        key = f"{case.precision} {sorted(case.train.items())}"
        if key not in expected:
            with hidden_cards():
                expected[key] = losses(folder / f"cpu-{number}", shards, alone)
        found = losses(folder / f"cards-{number}", shards, case)
        if not expected[key][-1] < expected[key][0] - 0.5:
            raise RuntimeError(
                f"{case.name}: nothing was learned ({expected[key][0]:.3f} to {expected[key][-1]:.3f}), so equality proves nothing"
            )
        table.share(case.name, max(abs(a - b) for a, b in zip(found, expected[key], strict=True)), 1.0, most=NEAR[case.precision])


@contextmanager
def hidden_cards() -> Iterator[None]:
    """Inside, processes that are started see no card."""
    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    try:
        yield
    finally:
        del os.environ["CUDA_VISIBLE_DEVICES"]
        if seen is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = seen


def losses(folder: Path, shards: Path, case: Case) -> list[float]:
    """The loss of every step of a launched job."""
    train = PretrainConfig.model_validate(
        {
            "steps": STEPS,
            "tokens": 0,
            "global_batch": BATCH,
            "learning_rate": 3e-3,
            "warmup_steps": 5,
            "eval_rows": 0,
            "optimizer": "adamw",
            "precision": {"kind": case.precision},
            **case.train,
        }
    )
    job = make_job(folder, shards, SHAPE, train, {"micro_batch": 4, **case.resources})
    launch(job)
    return [float(line["loss"]) for line in read_lines(job.output / "history.jsonl")]


def write_learnable_shards(directory: Path) -> Path:
    """Rows in which each token is the one before it plus a number that is the document's own."""
    rows, width = STEPS * BATCH, SHAPE.context + 1
    random = np.random.default_rng(0)
    document = np.cumsum(random.random((rows, width)) < 0.02, axis=1)
    step = 1 + (document * 7 + np.arange(rows)[:, None]) % 5
    words = VocabularyOnly(VOCABULARY)
    tokens = (7 + (random.integers(0, VOCABULARY, (rows, 1)) + np.cumsum(step, axis=1)) % (VOCABULARY - 7)).astype(words.dtype)
    writer = TokenShardWriter(directory, "pretrain", SHAPE.context, words, rows)  # type: ignore[arg-type]
    writer.add({"tokens": tokens, "document": document.astype(words.dtype), "loss": np.ones(tokens.shape, dtype=np.bool_)})
    writer.close()
    return directory
