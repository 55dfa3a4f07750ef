"""A checkpoint holds whole tensors by name: training resumes bit for bit on the same layout, and with the same numbers on any other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model.training.checkpoint.files import StoredTensors
from model.training.checkpoint.record import CheckpointRecord
from model.training.job import Job, JobError
from model.training.resources import ParallelConfig
from model.training.telemetry.step_log import read_lines
from tests.model.jobs import JobMaker

from .alone import train_here, train_together

RARE = {"checkpoint_every_steps": 1000}


def on(job: Job, workers: int, zero_stage: int) -> Job:
    """The same job on another layout."""
    parallel = ParallelConfig(workers=workers, zero_stage=zero_stage)
    return job.model_copy(update={"resources": job.resources.model_copy(update={"parallel": parallel})})


def stored(job: Job) -> dict[tuple[str, str], torch.Tensor]:
    """All tensors of the current checkpoint."""
    latest = CheckpointRecord.read(job.checkpoints)
    assert latest is not None
    tensors = StoredTensors(job.checkpoints / latest.folder, latest.workers)
    return {name: tensors.whole(*name) for name in tensors.names()}


def same_bytes(first: Job, second: Job) -> None:
    for name in ("model.safetensors", "history.jsonl"):
        assert (first.output / name).read_bytes() == (second.output / name).read_bytes(), name


def losses(job: Job) -> list[float]:
    return [line["loss"] for line in read_lines(job.output / "history.jsonl")]


# 1 and 2 lay numbers out alike, so one of them often does.
STAGES = [0, pytest.param(1, marks=pytest.mark.slow), 2, 3]


@pytest.mark.parametrize("zero_stage", STAGES)
def test_a_run_stopped_every_second_step_ends_with_the_same_bytes(make_job: JobMaker, zero_stage: int) -> None:
    undisturbed, stopped = (make_job(name, {"zero_stage": zero_stage, **RARE}) for name in ("undisturbed", "stopped"))
    train_here(undisturbed)
    for _ in range(3):
        train_here(stopped, stop_after=2)
    same_bytes(undisturbed, stopped)


OTHERS = [
    ("lion", 2, {}),
    ("sophia", 1, {"sophia_every": 2}),
    ("momentum", 3, {}),
    ("muon", 0, {}),
    ("muon", 1, {}),
    ("muon", 2, {"ema_decay": 0.9}),
    ("muon", 3, {}),
    ("adafactor", 0, {}),
    ("adamw", 1, {"ema_decay": 0.9}),
    ("adamw", 2, {"precision": "fp16"}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("optimizer", "zero_stage", "train"), OTHERS)
def test_every_optimizer_resumes_its_state(make_job: JobMaker, optimizer: str, zero_stage: int, train: dict[str, object]) -> None:
    resources = {"zero_stage": zero_stage, **RARE}
    undisturbed, stopped = (make_job(name, resources, optimizer=optimizer, **train) for name in ("undisturbed", "stopped"))
    train_here(undisturbed)
    for _ in range(3):
        train_here(stopped, stop_after=2)
    same_bytes(undisturbed, stopped)


@pytest.mark.slow
def test_two_workers_that_stop_and_resume_end_with_the_same_bytes(make_job: JobMaker, tmp_path: Path) -> None:
    calls: list[tuple[Job, int | None]] = []
    for stage in (0, 1, 2, 3):
        undisturbed, stopped = (make_job(f"{name}{stage}", {"workers": 2, "zero_stage": stage, **RARE}) for name in ("whole", "stopped"))
        calls += [(undisturbed, None), (stopped, 3), (stopped, None)]
    train_together(calls, tmp_path)
    for (undisturbed, _), (stopped, _) in zip(calls[::3], calls[2::3], strict=True):
        same_bytes(undisturbed, stopped)


def test_a_run_that_changes_its_zero_stage_at_every_step_keeps_loss_and_optimizer(make_job: JobMaker) -> None:
    undisturbed, moved = make_job("undisturbed", RARE), make_job("moved", RARE)
    train_here(undisturbed)
    for stage in (0, 3, 1, 2, 3, 0):
        train_here(on(moved, 1, stage), stop_after=1)
    assert losses(moved) == pytest.approx(losses(undisturbed), abs=1e-5)


@pytest.mark.parametrize("zero_stage", STAGES)
def test_a_checkpoint_loaded_in_another_stage_and_saved_again_is_bit_identical(make_job: JobMaker, zero_stage: int) -> None:
    from model.training.checkpoint.checkpoints import Checkpoints
    from model.training.distributed import HostExchange, WorkerRank
    from model.training.trainer import Trainer

    job = make_job("job", {"zero_stage": (zero_stage + 1) % 4, **RARE})
    train_here(job, stop_after=3)
    before = stored(job)
    trainer = Trainer(on(job, 1, zero_stage), WorkerRank(0, 0, 1))
    again = Checkpoints(on(job, 1, zero_stage), HostExchange(1, meet_seconds=60))
    latest = again.current()
    assert latest is not None
    again.load(trainer.engine, latest)
    again.save(trainer.engine, 4, latest.memory)
    again.finish(trainer.engine)
    after = stored(job)
    assert after.keys() == before.keys() and {state for _, state in after} == {"weight", "exp_avg", "exp_avg_sq", "step"}
    for name, tensor in before.items():
        assert torch.equal(after[name], tensor), name
    assert {float(after[name]) for name in after if name[1] == "step"} == {3.0}


def test_a_damaged_file_is_named(make_job: JobMaker) -> None:
    job = make_job("damaged", RARE)
    train_here(job, stop_after=2)
    path = next(job.checkpoints.glob("step-*/*.safetensors"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(JobError, match=r"worker-00000.safetensors is damaged"):
        train_here(job)


def test_the_last_checkpoints_are_kept(make_job: JobMaker) -> None:
    job = make_job("kept", {"checkpoint_every_steps": 1, "keep_last": 3})
    train_here(job)
    assert sorted(path.name for path in job.checkpoints.glob("step-*")) == [f"step-{step:09d}" for step in (3, 4, 5)]
