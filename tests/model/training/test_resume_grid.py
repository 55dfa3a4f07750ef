"""kill -9 in the middle of a run, on every layout, and changes of the layout from one start to the next.

`python -m pytest -m slow -s tests/model/training/test_resume_grid.py` prints the grid.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from model.training.job import Job
from model.training.launch.launch import launch
from model.training.telemetry.step_log import read_lines
from tests.model.jobs import JobMaker

from .alone import train_here, train_together
from .test_checkpoints import losses, on, same_bytes
from .test_killed import killed_after_a_checkpoint

STEPS, EVERY = 60, 10
# Not divisible by 4 workers, so that ZeRO fills up its partitions.
ODD = {"width": 18, "heads": 3, "kv_heads": 3, "feed_forward": 37}


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("zero_stage", [0, 1, 2, 3])
def test_a_run_killed_with_signal_9_on_any_layout_ends_with_the_same_bytes(
    make_job: JobMaker, tmp_path: Path, workers: int, zero_stage: int
) -> None:
    resources = {"workers": workers, "zero_stage": zero_stage, "checkpoint_every_steps": EVERY}
    undisturbed, killed = (make_job(name, resources, steps=STEPS, eval_every=20) for name in ("undisturbed", "killed"))
    launch(undisturbed)
    step = killed_after_a_checkpoint(killed, tmp_path)
    assert 0 < step < STEPS and not killed.output.exists()
    launch(killed)
    same_bytes(undisturbed, killed)
    print(f"\nworkers {workers}, ZeRO {zero_stage}: killed after the checkpoint of step {step}, model and history equal to the byte")


CHANGES = [
    [(2, 1), (1, 1), (2, 1)],
    [(2, 3), (1, 3), (2, 3)],
    [(1, 0), (2, 2), (4, 3)],
    [(2, 3), (1, 1), (1, 0)],
    [(4, 3), (2, 1), (1, 3)],
    [(4, 1), (1, 2), (4, 2)],
]


@pytest.mark.slow
@pytest.mark.parametrize("layouts", CHANGES, ids=lambda layouts: "_".join(f"{workers}x{stage}" for workers, stage in layouts))
def test_a_run_that_changes_its_layout_keeps_order_and_loss(make_job: JobMaker, tmp_path: Path, layouts: list[tuple[int, int]]) -> None:
    def made(name: str) -> Job:
        job = make_job(name, {"micro_batch": 2, "checkpoint_every_steps": 1000}, steps=30, eval_every=10)
        return job.model_copy(update={"network": job.network.model_copy(update=ODD)})

    undisturbed, moved = made("undisturbed"), made("moved")
    train_here(undisturbed)
    for (workers, stage), stop in zip(layouts, (10, 10, None), strict=True):
        train_together([(on(moved, workers, stage), stop)], tmp_path)
    difference = max(abs(one - other) for one, other in zip(losses(moved), losses(undisturbed), strict=True))
    last, expected = (read_lines(job.output / "history.jsonl")[-1]["val_loss"] for job in (moved, undisturbed))
    way = " -> ".join(f"{workers} workers at ZeRO {stage}" for workers, stage in layouts)
    print(f"\n{way}: loss within {difference:.1e} in every step, validation loss within {abs(last - expected):.1e}")
    assert losses(undisturbed)[-1] < losses(undisturbed)[0] - 0.5, "nothing was learned, so equal losses would prove nothing"
    assert difference < 1e-3 and abs(last - expected) < 1e-3, way
