"""Rows of rollouts with known numbers, and GRPO's loss by the letter of the papers, in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np

Rows = dict[str, np.ndarray[Any, Any]]


def rollout_rows(groups: int, group: int, width: int, vocabulary: int, seed: int) -> Rows:
    """Replies of unequal length to prompts of unequal length; the sampling policy is no model, so ratios are far from 1."""
    random = np.random.default_rng(seed)
    count = groups * group
    starts = np.repeat(random.integers(2, 6, groups), group)
    lengths = random.integers(1, width - 6, count)
    places = np.arange(width)
    drawn = (places >= starts[:, None]) & (places < (starts + lengths)[:, None])
    prompts = np.repeat(random.integers(1, vocabulary, (groups, width)), group, axis=0)
    tokens = np.where(drawn, random.integers(1, vocabulary, (count, width)), np.where(places < starts[:, None], prompts, 0))
    reward = random.choice([0.0, 0.5, 1.0], count).astype(np.float32)
    by_group = reward.reshape(groups, group)
    return {
        "tokens": tokens,
        "loss": drawn,
        "log_probability": np.where(drawn, random.uniform(-5, -3, drawn.shape), 0).astype(np.float32),
        "group": np.repeat(np.arange(groups), group),
        "reward": reward,
        "group_mean": np.repeat(by_group.mean(1), group).astype(np.float32),
        "group_deviation": np.repeat(by_group.std(1, ddof=1), group).astype(np.float32),
    }


def advantages(rows: Rows, scale: str) -> np.ndarray[Any, Any]:
    """The advantage of each reply by its definition, from rewards and groups alone."""
    reward, group = rows["reward"].astype(np.float64), rows["group"]
    mean = np.array([reward[group == own].mean() for own in group])
    deviation = {
        "group": np.array([reward[group == own].std(ddof=1) for own in group]),
        "batch": np.full(len(reward), reward.std(ddof=1)),
        "none": np.ones(len(reward)),
    }[scale]
    found: np.ndarray[Any, Any] = (reward - mean) / (deviation + (0 if scale == "none" else 1e-4))
    return found


def plain_loss(
    rows: Rows,
    new: np.ndarray[Any, Any],
    reference: np.ndarray[Any, Any],
    *,
    clip: tuple[float, float],
    kl_weight: float,
    aggregation: str,
    scale: str,
    max_new_tokens: int,
) -> float:
    """The loss from log-probabilities of each token under policy and reference, [rows, width]; one token after the other."""
    advantage, per_reply, total = advantages(rows, scale), [], 0.0
    for row in range(len(new)):
        losses = []
        for place in np.flatnonzero(rows["loss"][row]):
            ratio = np.exp(new[row, place] - rows["log_probability"][row, place])
            clipped = min(max(ratio, 1 - clip[0]), 1 + clip[1])
            gap = reference[row, place] - new[row, place]
            losses.append(-min(ratio * advantage[row], clipped * advantage[row]) + kl_weight * (np.exp(gap) - gap - 1))
        per_reply.append(np.mean(losses))
        total += sum(losses)
    divisor = {"token": int(np.count_nonzero(rows["loss"])), "constant": len(new) * max_new_tokens}
    return float(np.mean(per_reply)) if aggregation == "sequence" else float(total / divisor[aggregation])
