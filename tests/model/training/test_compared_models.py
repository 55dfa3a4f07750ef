"""Kinds of training that compare the model with another: both compute alike, whatever the model drops elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from model.networks.base import NetworkBase
from model.networks.config import DecoderConfig, RecurrentConfig
from model.networks.directory import TOKENIZER_DIGEST, read_config, save_model
from model.training.config import DpoConfig, SftConfig
from model.training.job import Job
from model.training.telemetry.step_log import read_lines
from tests.model.jobs import CONTEXT, DIGEST, SHAPE, VOCABULARY, JobMaker, follow_up

from .alone import train_here
from .rollout_jobs import RolloutJobMaker
from .rollout_jobs import make_rollout_job as make_rollout_job

NETWORKS: dict[str, Callable[[float], NetworkBase]] = {
    "decoder": lambda dropout: DecoderConfig.model_validate({**SHAPE.model_dump(), "dropout": dropout, "initial_std": 0.2}),
    "recurrent": lambda dropout: RecurrentConfig(width=32, layers=2, context=CONTEXT, dropout=dropout),
}
SHORT: dict[str, Any] = {"steps": 2, "tokens": 0, "global_batch": 4, "warmup_steps": 0, "eval_rows": 0}


def from_random(job: Job, network: NetworkBase, folder: Path) -> Job:
    """The job with another network, whose initial model is random."""
    save_model(network.build(VOCABULARY, seed=1), folder, extra={TOKENIZER_DIGEST: DIGEST})
    return job.model_copy(update={"network": network, "initial_model": folder})


def first_line(job: Job) -> dict[str, float]:
    return read_lines(job.output / "history.jsonl")[0]


@pytest.mark.parametrize("kind", NETWORKS)
@settings(max_examples=3, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(dropout=st.floats(0.01, 0.99))
def test_preference_tuning_starts_from_ln_2_whatever_the_dropout(
    make_job: JobMaker, shards: Path, tmp_path_factory: pytest.TempPathFactory, kind: str, dropout: float
) -> None:
    folder, network = tmp_path_factory.mktemp(kind), NETWORKS[kind](dropout)
    named = {"output": folder / "output", "checkpoints": folder / "checkpoints"}
    job = from_random(follow_up(make_job(), shards, DpoConfig(**SHORT), "dpo"), network, folder / "base").model_copy(update=named)
    train_here(job)
    first = first_line(job)
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-6) and first["margin"] == pytest.approx(0, abs=1e-6)
    assert read_config(job.output)[0] == network, "the saved model keeps its dropout"


def test_a_sampled_reply_is_as_likely_when_it_is_learned_from_as_when_it_was_sampled(make_rollout_job: RolloutJobMaker) -> None:
    job = make_rollout_job(steps=1, learning_rate=1e-2)
    assert job.initial_model is not None
    config, vocabulary = read_config(job.initial_model)
    dropping = config.model_copy(update={"dropout": 0.5})
    network = dropping.build(vocabulary, seed=1)
    save_model(network, job.initial_model, extra=job.model_metadata)
    dropped = job.model_copy(update={"network": dropping})
    train_here(dropped)
    first = first_line(dropped)
    assert first["clipped"] == 0 and first["kl"] == pytest.approx(0, abs=1e-6)


def test_other_tuning_drops_what_the_model_says(make_job: JobMaker, shards: Path, tmp_path: Path) -> None:
    config = SftConfig(**SHORT)
    networks = [NETWORKS["decoder"](dropout) for dropout in (0.0, 0.5)]
    jobs = [
        from_random(follow_up(make_job(), shards, config, f"sft{number}"), network, tmp_path / f"base{number}")
        for number, network in enumerate(networks)
    ]
    for job in jobs:
        train_here(job)
    assert abs(first_line(jobs[1])["loss"] - first_line(jobs[0])["loss"]) > 1e-3


REFUSED = [
    (
        {},
        {"adapter": {"kind": "lora", "dropout": 0.1}},
        r"adapter.kind=lora with dropout=0.1 in kind=dpo, which drops nothing: set",
    ),
    ({"norm": "batch"}, {}, r"norm=batch with kind=dpo: two models are compared.*use another norm"),
]


@pytest.mark.parametrize(("shape", "train", "message"), REFUSED, ids=["adapter.dropout", "norm=batch"])
def test_what_would_make_the_two_models_differ_is_refused_by_name(
    make_job: JobMaker, shards: Path, shape: dict[str, Any], train: dict[str, Any], message: str
) -> None:
    job = follow_up(make_job(resources={"micro_batch": 0}), shards, DpoConfig.model_validate({**SHORT, **train}), "dpo")
    fields = job.model_dump()
    with pytest.raises(ValidationError, match=message):
        Job.model_validate({**fields, "network": {**fields["network"], **shape}})
