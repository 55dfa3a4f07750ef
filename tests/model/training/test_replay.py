"""A step that replays trains alike on any layout, and a run that was stopped continues to the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model.training.config import DpoConfig, SftConfig
from model.training.job import Job
from tests.model.jobs import JobMaker, follow_up
from tests.model.training.alone import train_here, train_together

SHARED: dict[str, Any] = {
    "steps": 6,
    "global_batch": 8,
    "warmup_steps": 1,
    "eval_rows": 6,
    "eval_every": 3,
    "replay": 0.5,
    "learning_rate": 1e-3,
}
STEPS: dict[str, SftConfig | DpoConfig] = {"sft": SftConfig(**SHARED), "dpo": DpoConfig(**SHARED)}


@pytest.fixture
def replaying(make_job: JobMaker, shards: Path) -> dict[str, Job]:
    """Jobs of both kinds, from a model trained for a step."""
    base = make_job("base", steps=1, eval_rows=0)
    train_here(base)
    return {name: follow_up(base, shards, config, name).model_copy(update={"replayed": shards}) for name, config in STEPS.items()}


def variant(job: Job, name: str, **parallel: int) -> Job:
    folder = job.checkpoints.parent.parent / name
    resources = job.resources.model_copy(update={"parallel": job.resources.parallel.model_copy(update=parallel)})
    return job.model_copy(update={"resources": resources, "output": folder / "output", "checkpoints": folder / "checkpoints"})


def log(job: Job) -> list[dict[str, float]]:
    return [json.loads(line) for line in (job.output / "history.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("kind", STEPS)
def test_a_stopped_run_continues_to_the_bytes_of_an_undisturbed_one(replaying: dict[str, Job], kind: str) -> None:
    whole, stopped = variant(replaying[kind], "whole"), variant(replaying[kind], "stopped")
    train_here(whole)
    train_here(stopped, stop_after=2)
    train_here(stopped)
    for name in ("history.jsonl", "model.safetensors"):
        assert (whole.output / name).read_bytes() == (stopped.output / name).read_bytes()
    assert {"replay_loss", "val_replay_loss", "val_gap"} <= log(whole)[-1].keys()
    assert log(whole)[-1]["replay_loss"] < log(whole)[0]["replay_loss"]


@pytest.mark.slow
def test_losses_are_those_of_one_worker_on_two_and_under_every_zero_stage(replaying: dict[str, Job], tmp_path: Path) -> None:
    alone = [variant(job, f"{name}-alone") for name, job in replaying.items()]
    for job in alone:
        train_here(job)
    spread = [variant(job, f"{name}-{stage}", workers=2, zero_stage=stage) for name, job in replaying.items() for stage in (0, 1, 3)]
    train_together([(job, None) for job in spread], tmp_path)
    expected = {job.train.kind: log(job) for job in alone}
    for job in spread:
        for ours, theirs in zip(log(job), expected[job.train.kind], strict=True):
            for name in ("loss", "replay_loss"):
                assert ours[name] == pytest.approx(theirs[name], abs=2e-5), (job.output, name)
