"""Token dropout hides inputs in training alone, by seed and position."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from model.loading.packed_rows import TokenDropout
from model.training.job_batches import job_batches
from tests.model.jobs import JobMaker

CPU = torch.device("cpu")


def test_a_share_of_inputs_is_hidden_in_training_and_none_in_validation(make_job: JobMaker) -> None:
    plain, dropped = (make_job(steps=6, token_dropout=share) for share in (0.0, 0.3))
    hidden = total = 0
    sources = [job_batches(job, job.build_objective(), CPU) for job in (plain, dropped)]
    for update in range(6):
        for before, after in zip(*(source.step(update).micro_batches for source in sources), strict=True):
            assert torch.equal(before["targets"], after["targets"]), "what is hidden is still predicted"
            changed = before["tokens"] != after["tokens"]
            assert (after["tokens"][changed] == 0).all()
            hidden, total = hidden + int(changed.sum()), total + changed.numel()
    assert abs(hidden / total - 0.3) < 0.05
    for (units, before), (_, after) in zip(*(source.validation() for source in sources), strict=True):
        assert units and all(torch.equal(before[name], after[name]) for name in before)


def test_what_is_hidden_follows_from_seed_and_position_alone(make_job: JobMaker) -> None:
    job = make_job(steps=6, token_dropout=0.3)
    whole = job_batches(job, job.build_objective(), CPU)
    shares = [job_batches(job, job.build_objective(), CPU, rank, 2) for rank in range(2)]
    for update in (3, 1, 5):
        read = torch.cat([part["tokens"] for part in whole.step(update).micro_batches])
        assert torch.equal(read, torch.cat([part["tokens"] for share in shares for part in share.step(update).micro_batches]))
    rows = {"tokens": np.ones((1, 400), dtype=np.int64)}
    drawn = [TokenDropout(0.5, seed)(rows, np.array([position]))["dropped"] for seed, position in ((1, 1), (1, 2), (2, 1), (1, 1))]
    assert (drawn[0] == drawn[3]).all() and (drawn[0] != drawn[1]).any() and (drawn[0] != drawn[2]).any()


def test_what_else_is_read_at_a_hidden_token_is_zero() -> None:
    rows: dict[str, np.ndarray[Any, Any]] = {"tokens": np.ones((2, 50), dtype=np.int64), "spelling": np.ones((2, 50, 3), dtype=np.float32)}
    rows["score"] = np.ones(2)
    found = TokenDropout(0.4, 1)(rows, np.arange(2))
    assert (found["spelling"].all(axis=2) == ~found["dropped"]).all() and (rows["spelling"] == 1).all()
    assert (found["score"] == 1).all()
