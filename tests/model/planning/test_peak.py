"""The peak memory of a training step at the sizes of GPT-2 and of a Llama of a billion, against the planner's estimate.

No card is needed: tensors have no numbers, and the kernels are those that fp16 takes, as in the planner. What DeepSpeed holds besides is
not in it; one worker at ZeRO 0 holds nothing besides.
"""

from __future__ import annotations

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from model.networks.config import DecoderConfig
from model.networks.meta import meta_network
from model.objectives import chunked
from model.objectives.next_token import NextToken
from model.objectives.protocol import POLICY
from model.planning.adapted import LiveBytes
from model.planning.memory import worker_memory
from model.planning.proposal import described_job
from model.training.config import PretrainConfig, TrainResources
from model.training.job import Job

SIZES = {
    "124M": (DecoderConfig(width=768, layers=12, heads=12, kv_heads=12, feed_forward=2048, context=1024), 50_304, 8),
    "1B": (DecoderConfig(width=2048, layers=16, heads=32, kv_heads=8, feed_forward=8192, context=2048), 128_256, 4),
}


def step_peak(job: Job) -> int:
    """The most bytes at once in the second of two updates of two micro-batches each."""
    network, context, sixteen = meta_network(job.network, job.vocab_size), job.network.context, job.train.precision.PRODUCTS != "fp32"
    network.recompute = job.resources.recompute == "blocks"
    with FakeTensorMode(allow_non_fake_inputs=True):
        network = network.to_empty(device="cpu").train()
        optimizer = torch.optim.AdamW(network.parameters(), fused=True)
        live = LiveBytes()
        with live:
            live.add(list(network.parameters()))
            for _ in range(2):
                for _ in range(2):
                    tokens = torch.zeros(job.micro_batch, context, dtype=torch.long)
                    batch = {"tokens": tokens, "targets": tokens} | ({"documents": tokens} if job.train.masks_documents else {})
                    with torch.autocast("cpu", torch.float16, enabled=sixteen):
                        (nats,) = NextToken().sums({POLICY: network}, batch)
                    (nats / tokens.numel()).backward()
                torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
                optimizer.step()
                optimizer.zero_grad()
    return live.peak


@pytest.mark.slow
@pytest.mark.parametrize("recompute", ["none", "blocks"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("precision", ["bf16", "fp32"])
@pytest.mark.parametrize("size", SIZES)
def test_the_planner_knows_the_peak_of_a_step_within_ten_percent(
    monkeypatch: pytest.MonkeyPatch, size: str, precision: str, packed: bool, recompute: str
) -> None:
    monkeypatch.setitem(chunked.LOGITS_BYTES, "cpu", chunked.LOGITS_BYTES["cuda"])
    shape, vocabulary, micro_batch = SIZES[size]
    train = PretrainConfig.model_validate(
        {
            "tokens": 0,
            "steps": 100,
            "global_batch": 2 * micro_batch,
            "within_documents": packed,
            "optimizer": "adamw",
            "precision": precision,
        }
    )
    job = described_job(shape, vocabulary, train, TrainResources.model_validate({"micro_batch": micro_batch, "recompute": recompute}))
    peak, memory = step_peak(job), worker_memory(job, accelerator=True)
    estimate = memory.total - memory.framework
    print(f"\n{size} {precision} packed={packed} recompute={recompute}: {peak / 1e9:.2f} GB, planned {estimate / 1e9:.2f} GB")
    assert estimate == pytest.approx(peak, rel=0.10)


def test_logits_in_chunks_take_a_fraction_of_the_memory() -> None:
    shape, vocabulary, micro_batch = SIZES["124M"]
    train = PretrainConfig(tokens=0, steps=100, optimizer="adamw", precision="fp32", global_batch=64, within_documents=False)
    peaks = [
        worker_memory(described_job(shape, vocabulary, train, TrainResources(micro_batch=size)), accelerator=True).logits
        for size in (micro_batch, 4 * micro_batch)
    ]
    assert peaks[0] == peaks[1] < 4e9
