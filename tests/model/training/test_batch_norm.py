"""Batch norm: trained on whole batches by one worker; its running statistics are saved with the weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from model.networks.decoder import Decoder
from model.networks.directory import load_model
from model.networks.network import Network
from model.training.job import Job
from tests.model.jobs import SHAPE, VOCABULARY, JobMaker

from .alone import train_here

NORMED = SHAPE.model_copy(update={"norm": "batch"})


def with_batch_norm(job: Job, **resources: Any) -> Job:
    """The same job for a decoder with batch norm, validated again."""
    parallel = job.resources.parallel.model_copy(update={name: resources.pop(name) for name in ("workers",) if name in resources})
    changed = job.resources.model_copy(update={"micro_batch": 0, "parallel": parallel, **resources})
    return Job.model_validate({**dict(job), "network": NORMED, "resources": changed})


def test_micro_batches_are_refused_by_name(make_job: JobMaker) -> None:
    for changes, message in (({"workers": 2}, "norm=batch with workers=2"), ({"micro_batch": 4}, "norm=batch with micro_batch=4"),
                          ({"recompute": "blocks"}, "norm=batch with recompute=blocks")):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            with_batch_norm(make_job(), **changes)
    assert with_batch_norm(make_job()).micro_batch == 8


def test_running_statistics_are_learned_and_resumed_exactly(make_job: JobMaker) -> None:
    whole, halted = (with_batch_norm(make_job(name)) for name in ("whole", "halted"))
    train_here(whole)
    assert len(train_here(halted, stop_after=3)) == len(train_here(halted)) == 3
    learned, again, fresh = (
        buffers(network) for network in (load_model(whole.output), load_model(halted.output), Decoder(NORMED, VOCABULARY))
    )
    assert not any(torch.equal(fresh[name], statistic) for name, statistic in learned.items())
    assert all(torch.equal(statistic, again[name]) for name, statistic in learned.items())


def buffers(network: Network) -> dict[str, Tensor]:
    return dict(network.named_buffers())
