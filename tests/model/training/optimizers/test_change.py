"""The measured size of an update: on the device that workers exchange numbers on, whether or not a weight changed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model.training.optimizers.norms import UpdateRatio
from model.training.telemetry.step_log import read_lines
from tests.model.jobs import JobMaker
from tests.model.jobs import make_job as make_job
from tests.model.jobs import shards as shards
from tests.model.training.alone import train_together


def test_the_squares_are_on_the_workers_device_before_a_step_and_after_one_of_weights_elsewhere() -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    elsewhere = torch.device("meta")
    ratio = UpdateRatio(optimizer, elsewhere)
    watched = ratio.watched(True)
    watched.__enter__()
    assert ratio.squares.device == elsewhere, "an overflow leaves them as they are now"
    weight.grad = torch.ones(3)
    optimizer.step()
    assert ratio.squares.device == elsewhere


@pytest.mark.slow
@pytest.mark.parametrize("zero_stage", [0, 2])
def test_two_workers_whose_first_step_overflows_report_no_change_and_go_on(make_job: JobMaker, tmp_path: Path, zero_stage: int) -> None:
    """The first step is watched, and fp16's largest number is exceeded in it."""
    layout = {"workers": 2, "zero_stage": zero_stage}
    overflowing = make_job("overflowing", layout, precision="fp16", loss_scale=2.0**120, steps=3)
    plain = make_job("plain", layout, precision="fp16", loss_scale=1024.0, steps=3)
    train_together([(overflowing, None), (plain, None)], tmp_path)
    first, *_, last = read_lines(overflowing.output / "history.jsonl")
    assert "update_norm" not in first and first["skipped"] == 1 and last["skipped"] == 3
    assert read_lines(plain.output / "history.jsonl")[0]["update_norm"] > 0
