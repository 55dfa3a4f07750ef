"""Proximal policy optimization (Schulman et al., 2017) of replies that the policy sampled itself, with a value head on the policy's trunk.

    loss = -min(r A, clip(r, 1 - clip_low, 1 + clip_high) A) + value_weight / 2 * max((v - R)^2, (v_c - R)^2), for each token of a reply

r is the token's probability over that of sampling, at its temperature; v the value that the head `value` reads before the token, v_c the
same no further than `value_clip` from what it read at sampling; A the advantage and R the return that `model/rollouts/returns.py` finds by
generalized advantage estimation. Advantages are whitened over the whole global batch.
Cost: as fine-tuning; before a cycle's first update the policy, the reference and the reward model read its replies once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.networks.network import Network
from model.networks.scalar_heads import read_scalar
from model.objectives.chunked import of_each
from model.objectives.grpo import REWARD, VERIFIED
from model.objectives.protocol import JUDGE, POLICY, REFERENCE, Rows, Term, as_int64
from model.objectives.reward_model import read_scores, scored_batch

HEAD = "value"
EPSILON = 1e-8


@dataclass(frozen=True)
class Ppo:
    """Rows of rollouts: `tokens`, `loss`, `log_probability`, `value`, `advantage`, `return_` [B, C + 1]; `reward`, `kl`, `kl_weight` [B].

    `rewards`: names of the columns `reward_<name>` [B]; `judged`: replies are scored by a reward model too.
    Metrics: `policy`, `value_loss`, `reward` and its parts, `kl` (of a whole reply from the reference, nats, from the sampled tokens),
    `kl_weight`, `reply_tokens`, `clipped` (the share of tokens that the policy learns nothing from), `entropy` (of sampling, nats a token),
    `value` and `return` (means), `value_error` (the squared difference, before the update).
    """

    clip_low: float = 0.2
    clip_high: float = 0.2
    value_clip: float = 0.2
    value_weight: float = 0.1
    temperature: float = 1.0
    rewards: tuple[str, ...] = ()
    judged: bool = False
    verified: bool = False
    reads: ClassVar[tuple[str, ...]] = ("rollout",)

    @property
    def models(self) -> tuple[str, ...]:
        return (REFERENCE, JUDGE) if self.judged else (REFERENCE,)

    @property
    def terms(self) -> tuple[Term, ...]:
        learned = (Term("policy", "tokens", 1.0), Term("value_loss", "tokens", self.value_weight))
        of_replies = (Term(name, "replies") for name in (*self._of_replies, "reply_tokens"))
        return (*learned, *of_replies, *(Term(name, "tokens") for name in ("clipped", "entropy", "value", "return", "value_error")))

    @property
    def _of_replies(self) -> tuple[str, ...]:
        """The columns that are reported as they are."""
        apart = (f"{REWARD}{name}" for name in self.rewards)
        return ("reward", *apart, *((VERIFIED,) if self.verified else ()), "kl", "kl_weight")

    def units(self, rows: Rows) -> dict[str, float]:
        return {"replies": float(len(rows["tokens"])), "tokens": float(np.count_nonzero(rows["loss"][:, 1:]))}

    def globals(self, rows: Rows) -> dict[str, float]:
        """Count and sums of advantages, from which the mean and deviation that whiten them follow."""
        advantages = rows["advantage"][rows["loss"]].astype(np.float64)
        return {"advantages": len(advantages), "advantage_sum": advantages.sum(), "advantage_squares": np.square(advantages).sum()}

    def batch(self, rows: Rows) -> dict[str, NDArray[Any]]:
        """Columns after the longest reply are cut off, except in rows that are not appraised yet and lack what that finds."""
        counts = rows["loss"][:, 1:]
        length = int(np.flatnonzero(counts.any(axis=0)).max(initial=0)) + 1 if "advantage" in rows else counts.shape[1]
        tokens = as_int64(rows["tokens"])
        known = {name: rows[name][:, 1:][:, :length] for name in ("log_probability", "value", "advantage", "return_") if name in rows}
        return {
            "tokens": tokens[:, :-1][:, :length],
            "targets": tokens[:, 1:][:, :length],
            "counts": counts[:, :length],
            "places": np.flatnonzero(counts[:, :length]),
            **known,
            **{name: rows[name] for name in self._of_replies if name in rows},
            **(scored_batch(rows["tokens"], rows["loss"]) if self.judged else {}),
        }

    def cache(self, models: Mapping[str, Network], batch: Mapping[str, Tensor]) -> Tensor:
        """Return what a reply's advantages are found from, fp32 [B, 1 + 2T]: its score, and for each target value and reference.

        The reference is the target's log-probability under it; both are 0 where no target counts.
        """
        places_N, shape = batch["places"], batch["counts"].shape
        hidden_ND = models[POLICY]({"tokens": batch["tokens"]}).flatten(0, 1)[places_N]
        reference_N = self._log_probability(models[REFERENCE], batch)
        numbers = [read_scalar(models[POLICY], HEAD, hidden_ND), reference_N]
        spread = [torch.zeros(batch["counts"].numel(), device=n.device).index_copy(0, places_N, n).view(shape) for n in numbers]
        score_B = read_scores(models[JUDGE], batch) if self.judged else torch.zeros(len(batch["counts"]), device=hidden_ND.device)
        return torch.cat([score_B[:, None], *spread], dim=1)

    def sums(self, models: Mapping[str, Network], batch: Mapping[str, Tensor]) -> Tensor:
        policy, places_N = models[POLICY], batch["places"]
        hidden_ND = policy({"tokens": batch["tokens"]}).flatten(0, 1)[places_N]
        new_N = of_each(policy, hidden_ND, batch["targets"].flatten()[places_N], self._log_probabilities)
        old_N, value_N, return_N = (batch[name].flatten()[places_N] for name in ("log_probability", "value", "return_"))
        advantage_N, ratio_N = self._whitened(batch)[places_N], (new_N - old_N).exp()
        clipped_N = ratio_N.clamp(1 - self.clip_low, 1 + self.clip_high) * advantage_N
        found_N = read_scalar(policy, HEAD, hidden_ND)
        near_N = torch.minimum(torch.maximum(found_N, value_N - self.value_clip), value_N + self.value_clip)
        error_N = torch.maximum((found_N - return_N).square(), (near_N - return_N).square()) / 2
        learned = [-torch.minimum(ratio_N * advantage_N, clipped_N).sum(), error_N.sum()]
        of_replies = [batch[name].sum() for name in self._of_replies]
        outside = (clipped_N < ratio_N * advantage_N).sum()
        of_tokens = (outside, -old_N.sum(), value_N.sum(), return_N.sum(), (value_N - return_N).square().sum())
        return torch.stack([*learned, *(value.detach().float() for value in (*of_replies, batch["counts"].sum(), *of_tokens))])

    def _whitened(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Advantages less their mean over the whole global batch, over their standard deviation there; fp32, flattened."""
        count, total, squares = (batch[name].double() for name in ("advantages", "advantage_sum", "advantage_squares"))
        mean = total / count
        variance = (squares / count - mean.square()).clamp(min=0)
        return ((batch["advantage"].flatten() - mean) / (variance + EPSILON).sqrt()).float()

    def _log_probability(self, network: Network, batch: Mapping[str, Tensor]) -> Tensor:
        x_ND, targets_N = network({"tokens": batch["tokens"]}).flatten(0, 1)[batch["places"]], batch["targets"].flatten()[batch["places"]]
        return of_each(network, x_ND, targets_N, self._log_probabilities)

    def _log_probabilities(self, logits_NV: Tensor, targets_N: Tensor) -> Tensor:
        return (logits_NV.float() / self.temperature).log_softmax(dim=-1).gather(1, targets_N[:, None])[:, 0]
