"""Reward models and PPO as whole jobs: heads are learned and saved apart, replies are appraised before they are written."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from data.shards.reader import ShardReader
from model.inference.chat_format import ChatFormat
from model.networks.base import ModelError
from model.networks.directory import TOKENIZER_DIGEST, load_model, save_model
from model.networks.network import Network
from model.networks.scalar_heads import add_head, load_with_head, of_heads, save_heads
from model.training.config import PpoConfig, RewardModelConfig
from model.training.job import Job
from model.training.telemetry.step_log import read_lines
from tests.model.jobs import JobMaker, follow_up
from tests.model.training.rollout_jobs import RolloutJobMaker
from tests.model.training.rollout_jobs import make_rollout_job as make_rollout_job

from .alone import train_here, train_together

PPO: dict[str, Any] = {"kind": PpoConfig, "reward_model": "reward", "returns": {"kl_target": 0.05, "horizon": 32}}


@pytest.fixture
def judge(decoder: Network, chat_format: ChatFormat, tmp_path: Path) -> Path:
    """A reward model with random opinions."""
    folder = tmp_path / "judge"
    save_model(decoder, folder, extra={TOKENIZER_DIGEST: chat_format.digest})
    scorer = decoder.config.build(decoder.vocab_size, seed=0)
    add_head(scorer, "reward")
    with torch.no_grad():
        scorer.get_parameter("heads.reward.weight").normal_(0, 0.5, generator=torch.Generator().manual_seed(1))
    save_heads(of_heads(scorer.state_dict())[1], folder)
    return folder


def history(job: Job) -> list[dict[str, float]]:
    return read_lines(job.output / "history.jsonl")


def test_a_reward_model_learns_to_tell_answers_apart_and_opens_without_its_head_as_any_model(make_job: JobMaker, shards: Path) -> None:
    base = make_job(steps=2)
    train_here(base)
    config = RewardModelConfig(steps=12, global_batch=8, learning_rate=3e-3, warmup_steps=0, eval_rows=6)
    job = follow_up(base, shards, config, "reward")
    train_here(job)
    first, last = history(job)[0], history(job)[-1]
    assert first["ranking"] == pytest.approx(math.log(2)) and first["accuracy"] == 0 and first["brier"] == 0.25
    assert last["val_accuracy"] == 1 and last["val_brier"] < 0.2 and last["val_confidence"] > 0.5
    with pytest.raises(ModelError, match="has no head called 'value'"):
        load_with_head(job.output, "value")
    assert load_with_head(job.output, "reward").get_parameter("heads.reward.weight").any() and not hasattr(load_model(job.output), "heads")


def test_replies_are_appraised_and_values_learned(make_rollout_job: RolloutJobMaker, judge: Path) -> None:
    job = make_rollout_job(**PPO, judge=judge, rollouts={"verifier": {"kind": "concise"}})
    train_here(job)
    lines, rows = history(job), ShardReader(job.output / "rollouts" / "cycle-000000")
    found = rows.rows(range(len(rows)))
    assert np.abs(found["reward"] - found["reward_answer"] - found["reward_model"]).max() < 1e-5 and found["reward_model"].std() > 0
    # Before the first update the policy is its own reference, and the head reads 0 of everything.
    assert np.abs(found["kl"]).max() < 1e-3 and not found["value"].any() and found["kl_weight"] == pytest.approx(np.full(16, 0.05))
    assert lines[0]["clipped"] == 0 and lines[0]["value"] == 0 and "verified" in lines[0]
    later = ShardReader(job.output / "rollouts" / "cycle-000001").rows(range(16))
    assert later["value"].any() and later["kl"].any() and later["kl_weight"][0] != pytest.approx(0.05)
    assert load_with_head(job.output, "value").get_parameter("heads.value.weight").any()


def test_a_stopped_run_goes_on_to_the_same_bytes(make_rollout_job: RolloutJobMaker, judge: Path) -> None:
    undisturbed, stopped = (make_rollout_job(name, **PPO, judge=judge) for name in ("undisturbed", "stopped"))
    train_here(undisturbed)
    train_here(stopped, stop_after=5)
    train_here(stopped)
    for name in ("model.safetensors", "heads.safetensors", "history.jsonl", "rollouts/cycle-000001/00000.arrow"):
        assert (stopped.output / name).read_bytes() == (undisturbed.output / name).read_bytes(), name


@pytest.mark.slow
def test_two_workers_learn_the_same_in_zero_2_and_3(make_rollout_job: RolloutJobMaker, judge: Path, tmp_path: Path) -> None:
    alone = make_rollout_job("alone", **PPO, judge=judge)
    train_here(alone)
    spread = [make_rollout_job(f"zero{stage}", {"workers": 2, "zero_stage": stage}, **PPO, judge=judge) for stage in (2, 3)]
    train_together([(job, None) for job in spread], tmp_path)
    for job in spread:
        for one, other in zip(history(alone), history(job), strict=True):
            for name in ("policy", "value_loss", "reward", "kl", "value"):
                assert other[name] == pytest.approx(one[name], rel=1e-2, abs=2e-3), (job.output, name)


def test_a_step_that_names_a_reward_model_has_to_be_given_it(make_rollout_job: RolloutJobMaker, judge: Path) -> None:
    with pytest.raises(ValidationError, match="reward_model is missing, but kind=ppo names reward"):
        make_rollout_job(**PPO)
    with pytest.raises(ValidationError, match="reward_model is given, but kind=grpo names none"):
        make_rollout_job(judge=judge)
    with pytest.raises(ValidationError, match=r"adapter.kind=lora with kind=ppo, which trains a head besides"):
        make_rollout_job(**PPO, judge=judge, adapter={"kind": "lora"})
