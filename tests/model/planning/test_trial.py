"""A trial tells the speed of a machine that is ours alone, whoever shares it meanwhile."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from flows.recipe.sizing import with_measured_speed
from model.hardware.waiting import CHOSEN
from model.networks.config import DecoderConfig
from model.planning import trial
from model.planning.proposal import described_job
from model.planning.trial import TrainingTrial, run_trial
from model.training.config import PretrainConfig, TrainResources
from model.training.job import Job
from tests.flows.recipe.machines import MACHINE_AT_HAND

SHAPE = DecoderConfig(width=128, layers=4, heads=4, kv_heads=2, feed_forward=352, context=128)
JOB = described_job(SHAPE, 1024, PretrainConfig(tokens=0, steps=20, global_batch=16, precision="fp32"), TrainResources(threads=2))
WITHIN = 0.25


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many other processes that compute."""
    started = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_a_busy_process_beside_a_trial_hardly_changes_the_speed_that_it_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CHOSEN:
        monkeypatch.delenv(name, raising=False)
    ratios = []
    for _ in range(3):
        alone = run_trial(JOB)
        with busy(1):
            beside = run_trial(JOB)
        assert beside.beside_others
        ratios.append(beside.tokens_per_second / alone.tokens_per_second)
    assert 1 - WITHIN < statistics.median(ratios) < 1 + WITHIN, ratios


@pytest.mark.parametrize(("others", "said"), [(1.4, "; other work took 1.4 of 2 processors, and this is the speed without it"), (0.1, "")])
def test_a_speed_measured_on_a_busy_machine_says_so(monkeypatch: pytest.MonkeyPatch, others: float, said: str) -> None:
    def timed(job: Job) -> TrainingTrial:
        return TrainingTrial(
            seconds=0.5, cpu_seconds=0.8, tokens=2048, baseline_bytes=1, peak_bytes=2, threads=2, others=others, processors=2
        )

    monkeypatch.setattr(trial, "run_trial", timed)
    assert with_measured_speed(MACHINE_AT_HAND, JOB).utilization_source == f"measured: 4,096 tokens/s in a trial{said}"
