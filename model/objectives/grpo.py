"""Group relative policy optimization (Shao et al., 2024, DeepSeekMath): learn from the rewards of replies that the policy sampled itself.

loss = -min(r A, clip(r, 1 - clip_low, 1 + clip_high) A) + kl_weight (q/p - log(q/p) - 1), for each token of a reply

p, q and p_old are the policy's, the reference's and the sampling policy's probability of the token, all at the temperature of sampling, and
r = p / p_old. The advantage A is the reply's reward less the mean of its group (the replies to one prompt), divided by a standard deviation
(`scale`): that of the group, that of the whole batch, or none.
`aggregation`: `sequence` means over each reply's tokens, then over replies (GRPO); `token` means over all tokens (DAPO, Yu et al., 2025);
`constant` divides by the maximum reply length (Dr. GRPO, Liu et al., 2025), so a reply's length has no weight.
Cost: one forward pass of the reference more than fine-tuning, none if kl_weight is 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.networks.network import Network
from model.objectives.chunked import of_each
from model.objectives.protocol import POLICY, REFERENCE, Rows, Term, as_int64

EPSILON = 1e-4  # added to the standard deviation, which is 0 where all rewards are equal
REWARD, VERIFIED = "reward_", "verified"  # columns: each reward by itself, before its name, and what the verifier says
UNITS = {"sequence": "replies", "token": "tokens", "constant": "allowed_tokens"}


@dataclass(frozen=True)
class Grpo:
    """Rows of rollouts: `tokens`, `loss` and `log_probability` [B, C + 1]; `reward`, `group_mean` and `group_deviation` [B].

    `max_new_tokens`: the most that a reply may have; tokens. `rewards`: names of the columns `reward_<name>` [B], parts of the reward that
    are reported apart; `verified`: rows also have what a verifier says that nothing is learned from.
    Metrics: `reward`, `reward_<name>`, `verified`, `reply_tokens`, `informative` (the share of replies whose group earned unlike rewards),
    `clipped` (the share of tokens that nothing is learned from), `entropy` (of sampling, nats a token), `kl` (from the reference).
    """

    max_new_tokens: int
    clip_low: float = 0.2
    clip_high: float = 0.2
    kl_weight: float = 0.04
    temperature: float = 1.0
    aggregation: Literal["sequence", "token", "constant"] = "sequence"
    scale: Literal["group", "batch", "none"] = "group"
    rewards: tuple[str, ...] = ()
    verified: bool = False
    reads: ClassVar[tuple[str, ...]] = ("rollout",)

    @property
    def models(self) -> tuple[str, ...]:
        return (REFERENCE,) if self.kl_weight else ()

    @property
    def terms(self) -> tuple[Term, ...]:
        unit = UNITS[self.aggregation]
        learned = (Term("policy", unit, 1.0), *((Term("kl", unit, self.kl_weight),) if self.kl_weight else ()))
        reported = (*self._apart, "reply_tokens", "informative")
        return (*learned, *(Term(name, "replies") for name in ("reward", *reported)), Term("clipped", "tokens"), Term("entropy", "tokens"))

    @property
    def _apart(self) -> tuple[str, ...]:
        """The columns of each reward by itself, and of the verifier."""
        return (*(f"{REWARD}{name}" for name in self.rewards), *((VERIFIED,) if self.verified else ()))

    def units(self, rows: Rows) -> dict[str, float]:
        replies = len(rows["tokens"])
        tokens = float(np.count_nonzero(rows["loss"][:, 1:]))
        return {"replies": replies, "tokens": tokens, "allowed_tokens": replies * self.max_new_tokens}

    def globals(self, rows: Rows) -> dict[str, float]:
        """Count and sums of rewards, from which the whole batch's standard deviation follows."""
        rewards = rows["reward"].astype(np.float64)
        return {"rewards": len(rewards), "reward_sum": rewards.sum(), "reward_squares": np.square(rewards).sum()}

    def batch(self, rows: Rows) -> dict[str, NDArray[Any]]:
        """Columns after the longest reply are cut off."""
        counts = rows["loss"][:, 1:]
        length = int(np.flatnonzero(counts.any(axis=0)).max(initial=0)) + 1
        tokens = as_int64(rows["tokens"])
        return {
            "tokens": tokens[:, :-1][:, :length],
            "targets": tokens[:, 1:][:, :length],
            "counts": counts[:, :length],
            "places": np.flatnonzero(counts[:, :length]),  # found here, since the device would have to be waited for
            "log_probability": rows["log_probability"][:, 1:][:, :length],
            "reward": rows["reward"],
            "centred": rows["reward"] - rows["group_mean"],
            "deviation": rows["group_deviation"],
            **{name: rows[name] for name in self._apart},
        }

    def sums(self, models: Mapping[str, Network], batch: Mapping[str, Tensor]) -> Tensor:
        row_N = batch["places"] // batch["counts"].shape[1]
        old_N = batch["log_probability"].flatten()[batch["places"]]
        new_N = self._log_probability(models[POLICY], batch)
        ratio_N, advantage_N = (new_N - old_N).exp(), self._advantage(batch)[row_N]
        clipped_N = ratio_N.clamp(1 - self.clip_low, 1 + self.clip_high)
        policy_N = -torch.minimum(ratio_N * advantage_N, clipped_N * advantage_N)
        length_B = batch["counts"].sum(dim=1)
        weight_N = 1 / length_B[row_N] if self.aggregation == "sequence" else torch.ones_like(new_N)
        learned = [(policy_N * weight_N).sum()]
        if self.kl_weight:
            with torch.no_grad():
                reference_N = self._log_probability(models[REFERENCE], batch)
            gap_N = reference_N - new_N
            learned.append(((gap_N.exp() - gap_N - 1) * weight_N).sum())
        outside_N = clipped_N * advantage_N < ratio_N * advantage_N  # where the clipped term is the smaller, nothing is learned
        of_replies = (batch["reward"], *(batch[name] for name in self._apart), length_B, batch["deviation"] > 0)
        reported = (*(value_B.sum() for value_B in of_replies), outside_N.sum(), -old_N.sum())
        return torch.stack([*learned, *(value.float() for value in reported)])

    def _log_probability(self, network: Network, batch: Mapping[str, Tensor]) -> Tensor:
        """The log-probability of each counted target at the temperature of sampling, nats; fp32 [N]."""
        x_ND, targets_N = network({"tokens": batch["tokens"]}).flatten(0, 1)[batch["places"]], batch["targets"].flatten()[batch["places"]]
        return of_each(network, x_ND, targets_N, self._log_probabilities)

    def _log_probabilities(self, logits_NV: Tensor, targets_N: Tensor) -> Tensor:
        return (logits_NV.float() / self.temperature).log_softmax(dim=-1).gather(1, targets_N[:, None])[:, 0]

    def _advantage(self, batch: Mapping[str, Tensor]) -> Tensor:
        """The advantage of each reply; fp32 [B]."""
        if self.scale == "none":
            return batch["centred"]
        if self.scale == "group":
            return batch["centred"] / (batch["deviation"] + EPSILON)
        count, total, squares = (batch[name].double() for name in ("rewards", "reward_sum", "reward_squares"))
        variance = (squares - total * total / count).clamp(min=0) / (count - 1).clamp(min=1)
        return (batch["centred"] / (variance.sqrt() + EPSILON)).float()
