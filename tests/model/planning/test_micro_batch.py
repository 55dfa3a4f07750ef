"""As many sequences are computed at once as an accelerator has memory for; CPUs keep to what their caches hold."""

from __future__ import annotations

import pytest
import torch

from model.networks.config import DecoderConfig
from model.planning.memory import micro_batch_bytes, with_memory_estimates, worker_memory
from model.planning.proposal import described_job
from model.training.config import PretrainConfig, TrainResources
from model.training.job import Job
from model.training.micro_batch import fitting_micro_batch, with_fitting_micro_batch

GIB = 2**30
SHAPE = DecoderConfig(width=768, layers=12, heads=12, kv_heads=12, feed_forward=2048, context=1024)


def job(batch: int = 480, workers: int = 1, micro_batch: int = 0) -> Job:
    train = PretrainConfig(tokens=0, steps=100, optimizer="adamw", precision="fp32", global_batch=batch, within_documents=False)
    return described_job(
        SHAPE, 50_304, train, TrainResources.model_validate({"micro_batch": micro_batch, "parallel": {"workers": workers}})
    )


def fitting(asked: Job, free_bytes: int) -> int:
    return fitting_micro_batch(micro_batch_bytes(asked), free_bytes)


@pytest.mark.parametrize("memory", [12 * GIB, 24 * GIB, 80 * GIB])
def test_the_largest_divisor_that_fits_is_taken(memory: int) -> None:
    asked = job()
    size = fitting(asked, memory)
    assert 480 % size == 0 and asked.with_micro_batch(size).micro_batch == size
    assert worker_memory(asked.with_micro_batch(size), accelerator=True, framework=0).total <= 0.9 * memory
    larger = next(divisor for divisor in range(size + 1, 481) if 480 % divisor == 0)
    assert worker_memory(asked.with_micro_batch(larger), accelerator=True, framework=0).total > 0.9 * memory


def test_more_memory_takes_more_at_once_and_a_large_card_is_not_starved() -> None:
    sizes = [fitting(job(), gibibytes * GIB) for gibibytes in (12, 24, 80)]
    assert sizes == sorted(set(sizes)) and sizes[-1] * SHAPE.context >= 32_768
    assert job().micro_batch == 2, "without a card it is what a CPU's caches hold"


def test_a_card_that_has_room_for_no_sequence_gets_one_at_once() -> None:
    assert fitting(job(), GIB) == 1


def test_workers_take_divisors_of_their_share() -> None:
    assert fitting(job(batch=8, workers=4), 80 * GIB) == 2


def test_a_micro_batch_that_was_asked_for_stands_and_so_does_a_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    if not torch.cuda.is_available():
        assert with_memory_estimates(job()) == job(), "nobody asks, so nothing is counted"
        assert with_fitting_micro_batch(job()) == job()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert with_memory_estimates(job(micro_batch=4)) == job(micro_batch=4)
    assert with_fitting_micro_batch(job(micro_batch=4)) == job(micro_batch=4)


def test_a_job_for_a_card_tells_its_workers_what_each_micro_batch_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    told = with_memory_estimates(job(batch=8))
    assert list(told.micro_batch_bytes) == [1, 2, 4, 8]
    assert Job.model_validate_json(told.model_dump_json()) == told, "the job file carries it"
