"""Pipelines, offloading and launchers: where the work is done changes no loss, and what can't work is refused by name."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from model.training.history import read_lines
from model.training.job import Job
from model.training.launch import launch

from .conftest import JobMaker


def curve(job: Job) -> list[float]:
    lines = read_lines(job.output / "history.jsonl")
    return [*(line["loss"] for line in lines), *(line["grad_norm"] for line in lines), lines[-1]["val_loss"]]


LAYOUTS = [
    {"workers": 2, "pipeline": 2},
    pytest.param({"workers": 2, "tensor": 2}, marks=pytest.mark.slow),
    pytest.param({"workers": 2, "pipeline": 2, "zero_stage": 0}, marks=pytest.mark.slow),
    pytest.param({"workers": 2, "tensor": 2, "zero_stage": 2}, marks=pytest.mark.slow),
    pytest.param({"workers": 2, "tensor": 2, "zero_stage": 3}, marks=pytest.mark.slow),
    pytest.param({"workers": 4, "pipeline": 2}, marks=pytest.mark.slow),
    pytest.param({"workers": 4, "tensor": 2}, marks=pytest.mark.slow),
    pytest.param({"workers": 2, "zero_stage": 1, "offload_optimizer": "cpu"}, marks=pytest.mark.slow),
    pytest.param({"workers": 2, "zero_stage": 2, "offload_optimizer": "cpu"}, marks=pytest.mark.slow),
    pytest.param({"workers": 2, "zero_stage": 3, "offload_optimizer": "cpu", "offload_weights": "cpu"}, marks=pytest.mark.slow),
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: "-".join(f"{name}_{value}" for name, value in layout.items()))
def test_a_model_cut_into_stages_or_parts_or_offloaded_learns_what_one_process_learns(make_job: JobMaker, layout: dict[str, int]) -> None:
    alone, cut = make_job("alone", {"micro_batch": 2}, steps=20), make_job("cut", {"micro_batch": 2, **layout}, steps=20)
    launch(alone)
    launch(cut)
    expected = curve(alone)
    assert expected[19] < expected[0] - 0.5, "nothing was learned, so equal curves would prove nothing"
    assert curve(cut) == pytest.approx(expected, abs=1e-3)
    first, second = (load_file(job.output / "model.safetensors") for job in (alone, cut))
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(second[name], tensor, atol=1e-3, rtol=0)
