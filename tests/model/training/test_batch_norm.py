"""Batch norm: trained on whole batches by one worker, its running statistics kept with the weights."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from model.architecture.decoder import Decoder
from model.architecture.directory import load_model
from model.training.distributed import Place, import_deepspeed, join
from model.training.job import Job

from .conftest import SHAPE, VOCABULARY, JobMaker

NORMED = SHAPE.model_copy(update={"norm": "batch"})


def with_batch_norm(job: Job, **resources: Any) -> Job:
    """The same job for a decoder with batch norm, checked again."""
    parallel = job.resources.parallel.model_copy(update={name: resources.pop(name) for name in ("workers",) if name in resources})
    changed = job.resources.model_copy(update={"micro_batch": 0, "parallel": parallel, **resources})
    return Job.model_validate({**dict(job), "decoder": NORMED, "resources": changed})


def test_batches_cut_into_pieces_are_refused_by_name(make_job: JobMaker) -> None:
    with pytest.raises(ValueError, match=r"norm=batch and workers=2: .* set workers: 1, or norm: rms or layer"):
        with_batch_norm(make_job(), workers=2)
    with pytest.raises(ValueError, match="norm=batch and micro_batch=4: each micro-batch of the global_batch=8"):
        with_batch_norm(make_job(), micro_batch=4)
    assert with_batch_norm(make_job()).micro_batch == 8


def test_running_statistics_are_learned_and_a_resumed_run_ends_with_the_same(alone: Place, make_job: JobMaker) -> None:
    job = with_batch_norm(make_job(steps=6), checkpoint_every_steps=3)
    train(job, alone)
    statistics = buffers(load_model(job.output))
    fresh = buffers(Decoder(NORMED, VOCABULARY))
    assert not any(torch.equal(fresh[name], learned) for name, learned in statistics.items())
    (job.output / "model.safetensors").unlink()
    assert train(job, alone) == 3
    assert all(torch.equal(statistics[name], again) for name, again in buffers(load_model(job.output)).items())


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Place]:
    """The one worker of its group, in this process."""
    place = Place(0, 0, 1)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    threads = torch.get_num_threads()
    import_deepspeed()
    join(place, tmp_path)
    yield place
    torch.set_num_threads(threads)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def train(job: Job, place: Place) -> int:
    """Run the job to its end; the step from which it went on."""
    from model.training.trainer import Trainer

    job.run_directory().mkdir(parents=True, exist_ok=True)
    trainer = Trainer(job, place)
    latest, _ = trainer.checkpoints.latest()
    trainer.train()
    return latest.step if latest else 0


def buffers(decoder: Decoder) -> dict[str, Tensor]:
    return dict(decoder.named_buffers())
