"""The part of `tests.benchmarks.pretrain` that needs a CUDA device: model FLOPs utilization at two sizes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import torch

from model.hardware.devices import DEVICES, TERA, device_of_driver
from model.hardware.flops import training_flops
from model.networks.config import DecoderConfig
from model.networks.meta import count_parameters
from model.training.config import PretrainConfig
from model.training.optimizers.config import AdamWConfig
from model.training.precisions import Bf16Config
from tests.benchmarks.contest import Contestant, Table
from tests.benchmarks.pretrain_jobs import make_job, write_random_shards

VOCABULARY = 50_304  # GPT-2's, made a multiple of 64
LEAST = 0.55
THREADS = 8


class Size(NamedTuple):
    """A decoder, and the batch it is measured with."""

    name: str
    shape: DecoderConfig
    micro_batch: int
    accumulated: int


SIZES = (
    Size("124M", DecoderConfig(width=768, layers=12, heads=12, kv_heads=12, feed_forward=2048, context=1024), 32, 2),
    Size("1B", DecoderConfig(width=2048, layers=20, heads=16, kv_heads=8, feed_forward=5632, context=2048), 8, 2),
)


def gpu(table: Table, folder: Path, *, peak: float | None, micro_batch: int, rounds: int, updates: int) -> None:
    """MFU of our step, and our step against the plain loop, one after the other since each may want all of the memory."""
    if not torch.cuda.is_available():
        raise SystemExit("--part gpu: torch sees no CUDA device here; run it on a machine with one, or leave the part out")
    device = torch.cuda.get_device_name()
    listed = device_of_driver(device)
    if peak is None and listed is None:
        raise SystemExit(f"--part gpu: the peak of {device!r} isn't listed ({', '.join(DEVICES)}); name it with --peak TFLOPS")
    most = peak or (listed.peak("bf16") / TERA if listed else 0.0)
    print(f"{device}, {most:g} TFLOP/s dense in bf16; fp32 weights and optimizer, bf16 products, compiled, ZeRO 0")
    for size in SIZES:
        micro = micro_batch or size.micro_batch
        batch = micro * size.accumulated
        shards = write_random_shards(folder / size.name / "train", VOCABULARY, size.shape.context, 8 * batch)
        numbers = {"optimizer": AdamWConfig(), "precision": Bf16Config()}
        train = PretrainConfig(steps=100_000, tokens=0, global_batch=batch, learning_rate=3e-4, eval_rows=0, **numbers)
        resources = {"threads": THREADS, "micro_batch": micro, "compile": True, "parallel": {"zero_stage": 0}}
        job = make_job(folder / size.name, shards, size.shape, train, resources)
        path = folder / f"{size.name}.json"
        path.write_text(job.model_dump_json(), encoding="utf-8")
        speeds = {kind: _speeds(kind, path, updates, rounds, batch * size.shape.context) for kind in ("folio", "plain")}
        flops = training_flops(size.shape, VOCABULARY)
        best = [speed * flops / 1e12 for speed in speeds["folio"]]
        parameters = count_parameters(size.shape, VOCABULARY)
        table.head(f"{size.name}: {parameters:,} parameters, {batch * size.shape.context:,} tokens an update", "")
        table.figure("MFU: TFLOP/s of our step, the peak", sorted(best)[len(best) // 2], most, least=LEAST)
        table.against("our step against a plain loop, tokens/s", speeds["folio"], speeds["plain"], least=0.97)


def _speeds(kind: str, job: Path, updates: int, rounds: int, tokens: int) -> list[float]:
    contestant = Contestant(kind, Path(sys.executable), "tests.benchmarks.pretrain_ours", (kind, str(job)), THREADS)
    try:
        return [updates * tokens / contestant.turn(updates) for _ in range(rounds)]
    finally:
        contestant.close()
