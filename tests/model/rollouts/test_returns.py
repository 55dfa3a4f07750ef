"""Advantages by generalized advantage estimation against its definition, one token after the other, and the control of the divergence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.shards.writer import write_shards
from model.rollouts.config import ReturnsConfig
from model.rollouts.returns import advantages, appraise, kl_weight

WIDTH = 9


def sampled(rows: int, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    places, starts = np.arange(WIDTH), random.integers(1, 4, (rows, 1))
    drawn = (places >= starts) & (places < starts + random.integers(1, 6, (rows, 1)))
    log_probability = np.where(drawn, random.uniform(-3, -1, drawn.shape), 0).astype(np.float32)
    return {
        "loss": drawn,
        "log_probability": log_probability,
        "reward": random.random(rows).astype(np.float32),
        "tokens": drawn.astype(int),
    }


def by_definition(rewards: list[float], values: list[float], gamma: float, lam: float) -> list[float]:
    """The sum of all later one-step errors, each times (gamma lambda) for every token it lies ahead."""
    errors = [r + gamma * (values[t + 1] if t + 1 < len(values) else 0.0) - values[t] for t, r in enumerate(rewards)]
    return [sum((gamma * lam) ** (later - t) * errors[later] for later in range(t, len(errors))) for t in range(len(errors))]


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.5), (1.0, 1.0), (0.8, 0.0)])
def test_advantages_are_those_of_the_definition(gamma: float, lam: float) -> None:
    rows = sampled(7, seed=1)
    random = np.random.default_rng(2)
    penalty, value = random.normal(size=rows["loss"].shape), random.normal(size=rows["loss"].shape)
    found = advantages(rows["reward"], penalty, value, rows["loss"], gamma, lam)
    assert not found[~rows["loss"]].any()
    for row, drawn in enumerate(rows["loss"]):
        rewards = penalty[row][drawn].tolist()
        rewards[-1] += float(rows["reward"][row])
        assert found[row][drawn].tolist() == pytest.approx(by_definition(rewards, value[row][drawn].tolist(), gamma, lam))


def test_a_reply_is_appraised_by_its_rewards_the_judge_and_its_divergence() -> None:
    rows, random = sampled(5, seed=3), np.random.default_rng(4)
    numbers = random.normal(size=(5, 1 + 2 * (WIDTH - 1)))
    config = ReturnsConfig(gamma=1.0, lam=1.0, kl_weight=0.1)
    found = appraise(dict(rows), numbers, config, 0.1, judged=0.5)
    assert found["reward"] == pytest.approx(rows["reward"] + 0.5 * numbers[:, 0], rel=1e-5)
    assert found["reward_model"] == pytest.approx(0.5 * numbers[:, 0], rel=1e-5)
    for row, drawn in enumerate(rows["loss"]):
        places = np.flatnonzero(drawn)
        gaps = rows["log_probability"][row][drawn] - numbers[row, 1 + (WIDTH - 1) + places - 1]
        assert found["kl"][row] == pytest.approx(gaps.sum(), rel=1e-5)
        # With gamma and lambda 1 the return is all that is still to come.
        expected = found["reward"][row] - 0.1 * np.cumsum(gaps[::-1])[::-1]
        assert found["return_"][row][drawn] == pytest.approx(expected, abs=1e-5)


def test_a_cycle_many_times_the_horizon_makes_no_reward_of_the_penalty(tmp_path: Path) -> None:
    columns = {"kl": np.zeros(64, np.float32), "kl_weight": np.full(64, 0.05, np.float32)}
    write_shards(tmp_path / "cycle", "rollout", columns, sequence_length=1, tokenizer_digest="d", vocab_size=9)
    config = ReturnsConfig(kl_weight=0.05, kl_target=1.0, horizon=1)
    assert kl_weight(tmp_path / "cycle", config) == pytest.approx(0.04, rel=1e-5)


@pytest.mark.parametrize(
    ("kl", "expected"), [(2.0, 0.05 * (1 + 0.2 * 8 / 40)), (1.1, 0.05 * (1 + 0.1 * 8 / 40)), (0.0, 0.05 * (1 - 0.2 * 8 / 40))]
)
def test_the_weight_of_divergence_follows_the_cycle_before(kl: float, expected: float, tmp_path: Path) -> None:
    config = ReturnsConfig(kl_weight=0.05, kl_target=1.0, horizon=40)
    assert kl_weight(tmp_path / "none", config) == 0.05
    columns = {"kl": np.full(8, kl, np.float32), "kl_weight": np.full(8, 0.05, np.float32)}
    write_shards(tmp_path / "cycle", "rollout", columns, sequence_length=1, tokenizer_digest="d", vocab_size=9)
    assert kl_weight(tmp_path / "cycle", config) == pytest.approx(expected, rel=1e-5)
    assert kl_weight(tmp_path / "cycle", config.model_copy(update={"kl_target": 0.0})) == 0.05
