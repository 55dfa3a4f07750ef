"""Which rows a step of tuning replays: a function of seed and position, whatever the workers; a job gives them if and only if it asks."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from model.objectives.replayed import PREFIX
from model.training.config import DpoConfig, SftConfig
from model.training.job import Job
from model.training.job_batches import count_epochs, job_batches
from tests.model.jobs import JobMaker, follow_up

CPU = torch.device("cpu")
SFT = SftConfig(steps=12, global_batch=12, replay=0.25, eval_rows=8, warmup_steps=2)


@pytest.fixture
def replaying(make_job: JobMaker, shards: Path) -> Job:
    """A job of fine-tuning that replays a quarter."""
    return follow_up(make_job(), shards, SFT, "sft").model_copy(update={"replayed": shards})


def prints(job: Job, updates: range, rank: int = 0, workers: int = 1) -> list[list[bytes]]:
    """What a worker reads of its own and of replayed rows in each update, as bytes."""
    batches = job_batches(job, job.build_objective(), CPU, rank, workers)
    found = []
    for update in updates:
        parts = batches.step(update).micro_batches
        found.append([row.numpy().tobytes() for name in ("tokens", f"{PREFIX}tokens") for part in parts for row in part[name]])
    return found


def test_a_quarter_of_every_step_is_replayed(replaying: Job) -> None:
    batches = job_batches(replaying, replaying.build_objective(), CPU)
    for update in range(12):
        step = batches.step(update)
        assert sum(len(part[f"{PREFIX}tokens"]) for part in step.micro_batches) == 3
        assert step.units["replayed"] > 0 and step.units["tokens"] > 0
    assert count_epochs(replaying) == {"epochs": 0.75 * 144 / 20, "epochs_replay": 0.25 * 144 / 50}


def test_rows_are_the_same_on_any_number_of_workers_and_in_a_resumed_run(replaying: Job) -> None:
    def whole(workers: int) -> list[list[bytes]]:
        resources = replaying.resources.model_copy(update={"micro_batch": 12 // workers})
        job = replaying.model_copy(update={"resources": resources})
        shares = [prints(job, range(12), rank, workers) for rank in range(workers)]
        return [sorted(row for row in chain(*parts) if any(row)) for parts in zip(*shares, strict=True)]

    assert whole(1) == whole(2) == whole(3)
    assert prints(replaying, range(5, 12)) == prints(replaying, range(12))[5:]


def test_validation_reads_a_share_of_pretraining_beside_the_step_s_own_rows(replaying: Job) -> None:
    batches = job_batches(replaying, replaying.build_objective(), CPU)
    counted = [units for units, _ in batches.validation()]
    assert sum(units["replayed"] > 0 for units in counted) >= 1
    own = sum(units["tokens"] for units in counted)
    plain = replaying.model_copy(update={"train": SFT.model_copy(update={"replay": 0.0}), "replayed": None})
    alone = job_batches(plain, plain.build_objective(), CPU)
    assert own == sum(units["tokens"] for units, _ in alone.validation()), "its own rows are those of a step without replay"


def test_a_job_gives_replayed_rows_if_and_only_if_some_are_replayed(replaying: Job) -> None:
    given = replaying.model_dump()
    with pytest.raises(ValidationError, match=r"replayed is missing, but replay=0\.25"):
        Job.model_validate({**given, "replayed": None})
    with pytest.raises(ValidationError, match=r"replayed is given, but replay=0\.0"):
        Job.model_validate({**given, "train": {**given["train"], "replay": 0.0}})
    fresh = replaying.model_copy(update={"initial_model": None})
    assert fresh.identity() != fresh.model_copy(update={"replayed": None}).identity()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"replay": 0.25, "global_batch": 4}, "leaves fewer than 2 of a kind"),
        ({"replay": 0.25, "optimizer": {"kind": "sophia"}}, "replay=0.25 with optimizer=sophia is not offered"),
    ],
)
def test_what_replay_does_not_fit_is_refused_by_name(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SftConfig.model_validate({"kind": "sft", **change})


def test_pairs_and_replayed_rows_keep_their_own_columns(make_job: JobMaker, shards: Path) -> None:
    config = DpoConfig(steps=2, global_batch=8, replay=0.5, eval_rows=4, warmup_steps=1)
    job = follow_up(make_job(), shards, config, "dpo").model_copy(update={"replayed": shards})
    step = job_batches(job, job.build_objective(), CPU).step(0)
    pairs = sum(len(part["tokens"]) for part in step.micro_batches if float(part["has_own"]))
    assert step.units["pairs"] == 4 and pairs == 2 * 4
    assert all(np.isfinite(part["counts"].numpy()).all() for part in step.micro_batches)
