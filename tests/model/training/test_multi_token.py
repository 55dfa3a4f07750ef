"""Heads that predict further ahead: they learn with the model, in every layout, and stay as they are where nothing trains them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from model.hardware.flops import training_flops
from model.networks.base import AHEAD
from model.networks.config import DecoderConfig
from model.networks.directory import load_model
from model.networks.meta import count_parameters
from model.planning.memory import worker_memory
from model.training.config import DpoConfig, SftConfig
from model.training.job import Job
from model.training.telemetry.step_log import read_lines
from tests.model.jobs import SHAPE, VOCABULARY, JobMaker, follow_up
from tests.model.training.alone import train_here, train_together

HEADS = DecoderConfig.model_validate({**SHAPE.model_dump(), "multi_token": 2})
SHORT: dict[str, Any] = {"tokens": 0, "steps": 4, "global_batch": 4, "warmup_steps": 0, "learning_rate": 2e-2, "eval_rows": 4}


def with_heads(job: Job) -> Job:
    return Job.model_validate({**dict(job), "network": HEADS})


def curve(job: Job, name: str) -> list[float]:
    return [line[name] for line in read_lines(job.output / "history.jsonl") if name in line]


def weights(job: Job, *, heads: bool) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in load_model(job.output).state_dict().items() if name.startswith(AHEAD) == heads}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(tensor.equal(other[name]) for name, tensor in one.items())


def test_heads_learn_and_the_logged_losses_are_those_of_the_next_token(make_job: JobMaker) -> None:
    job = with_heads(make_job("run", steps=60))
    train_here(job)
    for depth in (1, 2):
        assert curve(job, f"ahead_{depth}_loss")[-1] < curve(job, f"ahead_{depth}_loss")[0] - 0.5
        assert curve(job, f"ahead_{depth}_accuracy")[-1] > 0.15 and 0 < curve(job, f"val_ahead_{depth}_accuracy")[-1] < 1
    alone = follow_up(job, job.output, SftConfig(**SHORT), "asked").model_copy(
        update={"train": job.train.model_copy(update={"steps": 1, "learning_rate": 1e-9, "multi_token_weight": 0.0, "warmup_steps": 0})}
        | {"train_shards": job.train_shards, "val_shards": job.val_shards}
    )
    train_here(alone)
    assert not curve(alone, "ahead_1_loss") and curve(alone, "val_loss")[-1] == pytest.approx(curve(job, "val_loss")[-1], abs=1e-4)


def test_what_reads_no_head_trains_none_and_learns_what_it_would_without_them(make_job: JobMaker, shards: Path) -> None:
    base = with_heads(make_job("base"))
    train_here(base)
    kinds: dict[str, Any] = {
        "sft": SftConfig(**SHORT),
        "left": SftConfig(**SHORT, multi_token_weight=0.0),
        "dpo": DpoConfig(**SHORT),
        "lora": SftConfig(**SHORT, adapter={"kind": "lora", "rank": 2}),
    }
    tuned = {name: follow_up(base, shards, config, name) for name, config in kinds.items()}
    for job in tuned.values():
        train_here(job)
        assert not same(weights(job, heads=False), weights(base, heads=False))
    assert not same(weights(tuned["sft"], heads=True), weights(base, heads=True)) and curve(tuned["sft"], "ahead_2_loss")
    assert all(same(weights(tuned[name], heads=True), weights(base, heads=True)) for name in ("left", "dpo", "lora"))
    assert not same(weights(tuned["sft"], heads=False), weights(tuned["left"], heads=False))


@pytest.mark.slow
def test_every_layout_learns_what_one_process_learns(make_job: JobMaker, tmp_path: Path) -> None:
    alone = with_heads(make_job("alone", {"micro_batch": 8}, steps=20, optimizer="adamw"))
    train_here(alone)
    layouts: list[dict[str, Any]] = [{"zero_stage": stage, "recompute": "blocks"} for stage in range(4)] + [{"zero_stage": 1, "tensor": 2}]
    shared = [with_heads(make_job(f"run{n}", {"workers": 2, "micro_batch": 2, **each}, steps=20)) for n, each in enumerate(layouts)]
    for number, jobs in enumerate((shared[:4], shared[4:])):
        (tmp_path / f"calls{number}").mkdir()
        train_together([(job, None) for job in jobs], tmp_path / f"calls{number}")
    for job in shared:
        for name in ("loss", "ahead_1_loss", "ahead_2_accuracy", "val_loss"):
            assert curve(job, name) == pytest.approx(curve(alone, name), abs=1e-3 if "accuracy" not in name else 0.02), name
        for heads in (False, True):
            for name, tensor in weights(job, heads=heads).items():
                torch.testing.assert_close(tensor, weights(alone, heads=heads)[name], atol=2e-3, rtol=0)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"resources": {"parallel": {"workers": 2, "pipeline": 2}}}, "multi_token=2 with pipeline=2: its heads belong to no stage"),
    ({"network": SHAPE, "train": {"multi_token_weight": 0.1}}, "multi_token_weight=0.1 does nothing: the model has no heads"),
    ({"network": {"norm": "batch"}}, "multi_token=2 with norm=batch"),
    ({"network": {"context": 3}}, "multi_token=2 is further ahead than context=3 reaches"),
    ({"network": {"kind": "hybrid", "mixers": [{"kind": "mamba2"}]}}, "network.hybrid.multi_token\n  Extra inputs are not permitted"),
    (
        {"train": {"kind": "sft", **SHORT, "multi_token_weight": 0.1, "adapter": {"kind": "lora"}}},
        "multi_token_weight=0.1 with adapter.kind=lora, which trains no heads",
    ),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED, ids=[message[:40] for _, message in REFUSED])
def test_what_heads_do_not_go_with_is_refused_by_name(make_job: JobMaker, changes: dict[str, Any], message: str) -> None:
    fields = with_heads(make_job()).model_dump()
    for section, change in changes.items():
        fresh = isinstance(change, DecoderConfig) or ("kind" in change and section == "train")
        fields[section] = (change.model_dump() if isinstance(change, DecoderConfig) else change) if fresh else {**fields[section], **change}
    with pytest.raises(ValidationError, match=re.escape(message)):
        Job.model_validate({**fields, "initial_model": "somewhere"})


def test_the_planner_counts_what_heads_cost(make_job: JobMaker) -> None:
    plain, job = make_job(), with_heads(make_job())
    width, inner, keys = SHAPE.width, SHAPE.feed_forward, SHAPE.kv_heads * SHAPE.head_dim
    matrices = 2 * width * width + 2 * width * keys + 3 * width * inner + 2 * width * width
    assert count_parameters(HEADS, VOCABULARY) - count_parameters(SHAPE, VOCABULARY) == 2 * (matrices + 5 * width)
    attention = 12 * SHAPE.heads * SHAPE.head_dim * SHAPE.context
    each = 6 * (matrices + width * VOCABULARY) + attention
    assert training_flops(HEADS, VOCABULARY) - training_flops(SHAPE, VOCABULARY) == pytest.approx(2 * each)
    one, other = (worker_memory(made, accelerator=False) for made in (plain, job))
    assert other.logits == 3 * one.logits and other.activations > one.activations and other.weights > one.weights
