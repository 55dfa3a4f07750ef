"""Pipelines, offloading and launchers: where the work is done changes no loss, and what can't work is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from model.training.history import read_lines
from model.training.job import Job
from model.training.launch import launch

from .conftest import SHAPE, JobMaker


def curve(job: Job) -> list[float]:
    lines = read_lines(job.output / "history.jsonl")
    return [*(line["loss"] for line in lines), *(line["grad_norm"] for line in lines), lines[-1]["val_loss"]]


def test_two_stages_of_a_pipeline_learn_what_one_process_learns(make_job: JobMaker) -> None:
    alone = make_job("alone", steps=20)
    piped = make_job("piped", {"workers": 2, "pipeline": 2, "micro_batch": 2}, steps=20)
    launch(alone)
    launch(piped)
    expected = curve(alone)
    assert expected[19] < expected[0] - 0.5, "nothing was learned, so equal curves would prove nothing"
    assert curve(piped) == pytest.approx(expected, abs=1e-3)
    first, second = (load_file(job.output / "model.safetensors") for job in (alone, piped))
    assert first.keys() == second.keys()
    assert max(float((first[name] - second[name]).abs().max()) for name in first) < 1e-3
