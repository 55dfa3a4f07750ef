"""Workers, ZeRO stages and micro-batches decide where numbers are stored and in what order they are added, not what is learned.

Equal curves are equal within a tolerance, and what is left between them has no direction: a loss that is always a little too low is a fault
that a tolerance lets pass, as when tokens are weighted by how few others lie in their micro-batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from model.training.job import Job
from model.training.launch.launch import launch
from model.training.telemetry.step_log import read_lines
from tests.model.jobs import JobMaker

from .alone import train_here

Curve = NDArray[np.float64]
ROUNDING = 1e-5
STAGES = (0, 1, 2, 3)


def trained(job: Job) -> Curve:
    """The losses of all steps; trained in this process if there is one worker."""
    if job.resources.parallel.workers == 1:
        train_here(job)
    else:
        launch(job)
    return np.array([line["loss"] for line in read_lines(job.output / "history.jsonl")])


def drift(curve: Curve, reference: Curve) -> tuple[float, float]:
    """The mean of the residual, and the largest mean that chance explains: three standard errors, or the rounding of single precision."""
    residual = curve - reference
    return float(residual.mean()), max(ROUNDING, 3 * float(residual.std(ddof=1)) / math.sqrt(len(residual)))


def expect_one_trajectory(curve: Curve, reference: Curve, tolerance: float, name: str) -> None:
    assert np.isfinite(reference).all()
    assert reference[-1] < reference[0] - 0.3, "nothing was learned, so equal curves would prove nothing"
    assert np.abs(curve - reference).max() < tolerance, name
    mean, most = drift(curve, reference)
    assert abs(mean) < most, f"{name}: the loss is off by {mean:+.1e} on average, which chance explains up to {most:.1e}"


def expect_one_model(jobs: Iterable[Job], tolerance: float) -> None:
    first, *others = (load_file(job.output / "model.safetensors") for job in jobs)
    for other in others:
        assert first.keys() == other.keys()
        for name, tensor in first.items():
            torch.testing.assert_close(other[name], tensor, atol=tolerance, rtol=0)


@pytest.mark.parametrize("stage", STAGES)
def test_in_every_zero_stage_gathering_small_batches_is_learning_from_a_large_one(make_job: JobMaker, stage: int) -> None:
    whole = trained(make_job("whole", {"zero_stage": 1, "micro_batch": 8}, steps=12))
    gathered = trained(make_job("gathered", {"zero_stage": stage, "micro_batch": 2}, steps=12))
    expect_one_trajectory(gathered, whole, 1e-4, f"ZeRO {stage}, 4 micro-batches")


@pytest.mark.slow
def test_two_workers_that_share_weights_learn_what_one_learns(make_job: JobMaker) -> None:
    one = make_job("one", {"workers": 1, "zero_stage": 1}, steps=12)
    two = make_job("two", {"workers": 2, "zero_stage": 3}, steps=12)
    alone = trained(one)
    expect_one_trajectory(trained(two), alone, 1e-4, "2 workers, ZeRO 3")
    expect_one_model((one, two), 1e-3)


def test_a_small_constant_bias_of_the_loss_is_detected() -> None:
    noise = np.random.default_rng(0).normal(0, 2e-4, 60)
    reference = np.linspace(4, 2, 60)
    expect_one_trajectory(reference + noise - noise.mean(), reference, 1e-3, "noise alone")
    with pytest.raises(AssertionError, match=r"off by -1\.5e-04 on average"):
        expect_one_trajectory(reference + noise - noise.mean() - 1.5e-4, reference, 1e-3, "noise and a bias")


GRID = [(1, stage, micro) for stage in STAGES for micro in (4, 1)] + [(2, stage, 1 if stage % 2 else 4) for stage in STAGES]


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-3), ("bf16", 5e-3)])
def test_every_zero_stage_on_one_or_two_workers_in_any_micro_batch_gives_one_loss_curve(
    make_job: JobMaker, precision: str, tolerance: float
) -> None:
    def job(name: str, **resources: int) -> Job:
        return make_job(name, resources, steps=40, precision=precision)

    reference = trained(job("whole", workers=1, zero_stage=1, micro_batch=8))
    for workers, stage, micro in GRID:
        name = f"{workers} workers, ZeRO {stage}, micro-batches of {micro}"
        expect_one_trajectory(trained(job(name, workers=workers, zero_stage=stage, micro_batch=micro)), reference, tolerance, name)
