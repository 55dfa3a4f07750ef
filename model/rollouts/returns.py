"""Advantages and returns of sampled replies by generalized advantage estimation (Schulman et al., 2016), and the control of their KL.

    r_t = -kl_weight (log p(t) - log q(t)), and at the reply's last token its reward besides
    d_t = r_t + gamma V_{t+1} - V_t        A_t = d_t + gamma lambda A_{t+1}        R_t = A_t + V_t

p is the policy that sampled, q the reference, V the value before a token, 0 after the last. The weight follows the divergence that is
wanted (Ziegler et al., 2019): from cycle to cycle it grows by its relative error, a fifth at most, times replies over `horizon`, as their
code has it; that ratio counts as 1 at most here, so no cycle, however long, makes a reward of the penalty.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data.shards.reader import ShardReader
from data.shards.schema import Array
from model.objectives.grpo import REWARD
from model.rollouts.config import ReturnsConfig
from model.rollouts.cycle import JUDGED

LARGEST_ERROR = 0.2


def appraise(rows: dict[str, Array], numbers: Array, config: ReturnsConfig, weight: float, judged: float | None) -> dict[str, Array]:
    """Return the rows with `value`, `advantage`, `return_` of each token, and `kl`, `kl_weight` of each reply.

    `numbers`: what `Ppo.cache` says, [B, 1 + 2T]. `judged`: the weight of its score, which is added to the reward; None: not scored.
    """
    drawn, length = rows["loss"], (numbers.shape[1] - 1) // 2
    value, reference = (np.zeros(drawn.shape, dtype=np.float64) for _ in range(2))
    value[:, 1 : 1 + length], reference[:, 1 : 1 + length] = numbers[:, 1 : 1 + length], numbers[:, 1 + length :]
    reward = rows["reward"].astype(np.float64)
    scores = {}
    if judged is not None:
        scores[f"{REWARD}{JUDGED}"] = (judged * numbers[:, 0]).astype(np.float32)
        reward = reward + judged * numbers[:, 0]
    gap = np.where(drawn, rows["log_probability"] - reference, 0.0)
    advantage = advantages(reward, -weight * gap, value, drawn, config.gamma, config.lam)
    count = len(reward)
    found = {"value": value, "advantage": advantage, "return_": np.where(drawn, advantage + value, 0.0), "kl": gap.sum(axis=1)}
    whole = {**rows, **scores, **found, "reward": reward, "kl_weight": np.full(count, weight)}
    return {name: column.astype(np.float32) if column.dtype == np.float64 else column for name, column in whole.items()}


def advantages(reward: Array, penalty: Array, value: Array, drawn: Array, gamma: float, lam: float) -> Array:
    """Return the advantage of each drawn token, [B, C + 1], 0 elsewhere. A reply's tokens stand together; `penalty`: the reward of each."""
    found = np.zeros(drawn.shape, dtype=np.float64)
    for row, places in enumerate(map(np.flatnonzero, drawn)):
        ahead, later = 0.0, 0.0
        for place in places[::-1].tolist():
            earned = penalty[row, place] + (reward[row] if place == places[-1] else 0.0)
            ahead = earned + gamma * later - value[row, place] + gamma * lam * ahead
            later = value[row, place]
            found[row, place] = ahead
    return found


def kl_weight(folder: Path, config: ReturnsConfig) -> float:
    """Return the weight of a cycle from the one before, whose folder this is; the first weight if there is none."""
    if not config.kl_target or not folder.exists():
        return config.kl_weight
    rows = ShardReader(folder)
    before = rows.rows(np.arange(len(rows)))
    error = float(np.clip(before["kl"].mean() / config.kl_target - 1, -LARGEST_ERROR, LARGEST_ERROR))
    return float(before["kl_weight"][0]) * (1 + error * min(1.0, len(rows) / config.horizon))
