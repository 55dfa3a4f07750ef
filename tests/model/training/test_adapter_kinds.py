"""Training by each kind of adapter that holds or adds something of its own: the same losses on every layout, checkpoints of it alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from model.adapters.opening import load_adapted, stored_adapter
from model.networks.directory import load_model
from model.training.config import SftConfig
from model.training.initial import initial_models
from model.training.job import Job
from model.training.launch.launch import launch
from model.training.parallel.compatibility import incompatibilities
from model.training.resources import TrainResources
from tests.model.jobs import SHAPE
from tests.model.training.rollout_jobs import RolloutJobMaker
from tests.model.training.rollout_jobs import make_rollout_job as make_rollout_job

from .alone import train_here, train_together
from .test_adapters import adapter_of, same_adapter
from .test_adapters import backwards as backwards
from .test_adapters import base as base
from .test_adapters import tuned as tuned
from .test_checkpoints import losses, same_bytes, stored
from .test_killed import killed_after_a_checkpoint

SETTINGS: list[dict[str, Any]] = [
    {"kind": "qlora", "rank": 2, "alpha": 8.0, "group_size": 16},
    {"kind": "bottleneck", "width": 4},
    {"kind": "prefix", "length": 4},
    {"kind": "prompt", "length": 4},
]
KINDS = pytest.mark.parametrize("adapter", SETTINGS, ids=lambda settings: settings["kind"])
QUICKLY_ONE = pytest.mark.parametrize(
    "adapter",
    [SETTINGS[0], *(pytest.param(settings, marks=pytest.mark.slow) for settings in SETTINGS[1:])],
    ids=[settings["kind"] for settings in SETTINGS],
)
TWO_KINDS = pytest.mark.parametrize("adapter", [SETTINGS[0], SETTINGS[2]], ids=lambda settings: settings["kind"])
FAST = {"learning_rate": 5e-2}


@QUICKLY_ONE
def test_it_loses_the_same_in_every_zero_stage_and_goes_on_from_its_checkpoints(tuned: Any, base: Job, adapter: dict[str, Any]) -> None:
    curves, jobs = [], []
    for stage in (0, 2, 3):
        job = tuned(f"stage{stage}", {"zero_stage": stage, "checkpoint_every_steps": 1000}, adapter=adapter, ema_decay=0.5, **FAST)
        jobs.append(job)
        train_here(job, stop_after=4)
        trained = {name for name, parameter in network_of(job).named_parameters() if parameter.requires_grad}
        assert {name for name, _ in stored(job)} == trained
        train_here(job)
        curves.append(losses(job))
    assert all(curve == pytest.approx(curves[0], abs=1e-4) for curve in curves) and curves[0][-1] < curves[0][0] - 0.05
    tokens = {"tokens": torch.arange(32).view(2, 16)}
    logits = [load_adapted(job.output).logits(tokens) for job in jobs]
    assert (logits[0] - load_model(base.output).logits(tokens)).abs().max() > 0.05
    assert all(torch.allclose(found, logits[0], atol=1e-3) for found in logits)
    assert stored_adapter(jobs[0].output / "adapter") == jobs[0].train.adapter


def network_of(job: Job) -> torch.nn.Module:
    network, _ = initial_models(job, job.build_objective())
    return network


@TWO_KINDS
def test_a_run_that_stops_and_resumes_ends_with_the_same_bytes(tuned: Any, adapter: dict[str, Any]) -> None:
    undisturbed, stopped = (tuned(name, {"checkpoint_every_steps": 1000}, adapter=adapter, **FAST) for name in ("undisturbed", "stopped"))
    train_here(undisturbed)
    train_here(stopped, stop_after=3)
    train_here(stopped)
    same_bytes(undisturbed, stopped)
    same_adapter(undisturbed, stopped)


@TWO_KINDS
def test_replies_are_sampled_with_it_where_zero_divides_it(make_rollout_job: RolloutJobMaker, adapter: dict[str, Any]) -> None:
    curves = []
    for stage in (0, 3):
        job = make_rollout_job(f"stage{stage}", {"zero_stage": stage}, adapter=adapter, steps=2, learning_rate=1e-2)
        train_here(job)
        curves.append(losses(job))
    assert curves[1] == pytest.approx(curves[0], abs=1e-4)


def test_a_model_with_an_adapter_apart_is_not_tuned_further(tuned: Any) -> None:
    job = tuned(adapter=SETTINGS[3], steps=1)
    train_here(job)
    again = tuned("again").model_copy(update={"initial_model": job.output})
    with pytest.raises(ValueError, match=r"adapter.kind=prompt\), so it can be talked to.* start from the model that it was tuned from"):
        train_here(again)


@KINDS
def test_layouts_that_were_not_tested_are_refused_by_name(adapter: dict[str, Any]) -> None:
    config = SftConfig.model_validate({"adapter": adapter})
    for parallel in ({"workers": 2, "tensor": 2, "zero_stage": 1}, {"workers": 2, "pipeline": 2, "zero_stage": 1}):
        (problem, *_) = incompatibilities(SHAPE, config, TrainResources.model_validate({"parallel": parallel}))
        assert problem.startswith(f"adapter.kind={adapter['kind']} with "), problem


@pytest.mark.slow
def test_two_workers_lose_what_one_does_in_every_zero_stage(tuned: Any, tmp_path: Path) -> None:
    alone, together = {}, []
    for adapter in SETTINGS:
        kind = adapter["kind"]
        alone[kind] = tuned(f"alone{kind}", adapter=adapter, **FAST)
        train_here(alone[kind])
        together += [
            (kind, tuned(f"two{kind}{zero_stage}", {"workers": 2, "zero_stage": zero_stage}, adapter=adapter, **FAST))
            for zero_stage in (0, 1, 2, 3)
        ]
    train_together([(job, None) for _, job in together], tmp_path)
    for kind, job in together:
        assert losses(job) == pytest.approx(losses(alone[kind]), abs=1e-4), job.output
        for name, tensor in adapter_of(alone[kind].output).items():
            torch.testing.assert_close(adapter_of(job.output)[name], tensor, atol=1e-3, rtol=0)


@pytest.mark.slow
@KINDS
def test_a_run_killed_with_signal_9_ends_with_the_same_bytes(tuned: Any, tmp_path: Path, adapter: dict[str, Any]) -> None:
    resources = {"workers": 2, "zero_stage": 2, "checkpoint_every_steps": 10}
    undisturbed, killed = (tuned(name, resources, adapter=adapter, steps=60) for name in ("undisturbed", "killed"))
    launch(undisturbed)
    assert 0 < killed_after_a_checkpoint(killed, tmp_path) < 60
    launch(killed)
    same_bytes(undisturbed, killed)
    same_adapter(undisturbed, killed)
