"""Preference objectives without a reference model: SimPO (Meng et al., 2024) and ORPO (Hong et al., 2024).

Simple preference optimization (Meng et al., 2024): the mean log-probability of an answer's tokens is its reward; no reference.
    loss = -log sigmoid(beta * (log p(chosen) by token - log p(rejected) by token) - gap)

`gap` is how much larger the chosen answer's reward should be. `label_smoothing` as in `dpo.py`.
Cost: a forward and backward pass over both answers.

Odds ratio preference optimization (Hong et al., 2024): fine-tuning and preferences in one step, without a reference.

    loss = -log p(chosen) by token + beta * -log sigmoid(log odds(chosen) - log odds(rejected))

odds(y) = P / (1 - P), with P the geometric mean of the probabilities of y's tokens. `prompts`: the first part is also learned over the
questions' tokens, as in the authors' code; the paper has the answers alone.
Cost: a forward and backward pass over both answers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from model.networks.network import Network
from model.objectives.answers import SIDES, answer_lengths, read_answers, read_hidden, stack_pairs
from model.objectives.chunked import summed
from model.objectives.protocol import IGNORED, LOSS, POLICY, Rows, Term

REPORTED = ("chosen_logp", "rejected_logp", "margin", "accuracy", "preferred", "chosen_tokens", "rejected_tokens")
LEARNED = "learned"


@dataclass(frozen=True)
class Orpo:
    """Rows as `Dpo` has them; units are pairs, and the tokens that are learned as in fine-tuning.

    Metrics: `answer_loss` and `odds_loss`, of which the loss is made; `margin` is the log odds ratio, `accuracy` the share of pairs where
    it is above 0; the others as of `Dpo`.
    """

    beta: float = 0.1
    prompts: bool = False
    reads: ClassVar[tuple[str, ...]] = ("preference",)
    models: ClassVar[tuple[str, ...]] = ()

    @property
    def terms(self) -> tuple[Term, ...]:
        learned = (Term("answer_loss", "learned_tokens", 1.0), Term("odds_loss", "pairs", self.beta))
        return (*learned, *(Term(name, "pairs") for name in REPORTED))

    def units(self, rows: Rows) -> dict[str, float]:
        learned = float(np.count_nonzero(_up_to_end(rows)[:, 1:])) if self.prompts else answer_lengths(rows, "chosen")
        return {"learned_tokens": learned, "pairs": float(len(rows["chosen"]))}

    def globals(self, rows: Rows) -> dict[str, float]:
        return {}

    def batch(self, rows: Rows) -> dict[str, NDArray[Any]]:
        batch = stack_pairs(rows)
        learned = (_up_to_end(rows) if self.prompts else rows["chosen_loss"])[:, 1:][:, : batch["targets"].shape[1]]
        return {**batch, LEARNED: np.where(learned, batch["targets"][: len(learned)], IGNORED)}

    def sums(self, models: Mapping[str, Network], batch: Mapping[str, Tensor]) -> Tensor:
        policy, length_R = models[POLICY], batch["counts"].sum(dim=1)
        hidden_RTD = policy({"tokens": batch["tokens"]})
        read = read_hidden(policy, hidden_RTD, batch)
        mean_R = read.logp_R / length_R.clamp(min=1)
        chosen_B, rejected_B = log_odds(mean_R).chunk(2)
        margin_B = chosen_B - rejected_B
        odds = -functional.logsigmoid(margin_B).sum()
        if self.prompts:
            (answers,) = summed(policy, hidden_RTD[: len(margin_B)].flatten(0, 1), batch[LEARNED].flatten(), _sums)
        else:
            answers = -read.logp_R.chunk(2)[0].sum()
        (chosen_logp_B, rejected_logp_B), lengths = read.logp_R.chunk(2), length_R.chunk(2)
        compared = (margin_B.sum(), (margin_B > 0).sum(), (chosen_logp_B > rejected_logp_B).sum())
        reported = (chosen_logp_B.sum(), rejected_logp_B.sum(), *compared, *(length_B.sum() for length_B in lengths))
        return torch.stack([answers, odds, *(value.detach().float() for value in reported)])


def log_odds(mean_R: Tensor) -> Tensor:
    """Return the log odds of answers from the mean log-probability of their tokens."""
    return mean_R - _log1mexp(mean_R)


def _up_to_end(rows: Rows) -> NDArray[np.bool_]:
    """Flags of each chosen row's tokens, the prompt's included, up to the end of its answer."""
    counted = rows[f"{SIDES[0]}_loss"]
    found: NDArray[np.bool_] = np.logical_or.accumulate(counted[:, ::-1], axis=1)[:, ::-1]
    return found


def _log1mexp(x: Tensor) -> Tensor:
    """log(1 - exp(x)) for x < 0, without losing digits near 0 or far from it (Maechler, 2012)."""
    x = x.clamp(max=-torch.finfo(x.dtype).tiny)
    near = x > -math.log(2)
    # Each form gets only what it can compute: a gradient that is not finite would pass through `where`.
    return torch.where(near, torch.log(-torch.expm1(x.where(near, -1))), torch.log1p(-torch.exp(x.where(~near, -1))))


def _sums(logits_NV: Tensor, targets_N: Tensor) -> Tensor:
    return functional.cross_entropy(logits_NV.float(), targets_N, ignore_index=IGNORED, reduction="sum")[None]


@dataclass(frozen=True)
class Simpo:
    """Rows as `Dpo` has them; units are pairs.

    Metrics: `margin` (beta times the difference of mean log-probabilities, without the gap), `accuracy` (the share of pairs with a margin
    above 0); the others as of `Dpo`.
    """

    beta: float = 2.0
    gap: float = 1.0
    label_smoothing: float = 0.0
    reads: ClassVar[tuple[str, ...]] = ("preference",)
    models: ClassVar[tuple[str, ...]] = ()
    terms: ClassVar[tuple[Term, ...]] = (Term(LOSS, "pairs", 1.0), *(Term(name, "pairs") for name in REPORTED))

    def units(self, rows: Rows) -> dict[str, float]:
        return {"pairs": float(len(rows["chosen"]))}

    def globals(self, rows: Rows) -> dict[str, float]:
        return {}

    def batch(self, rows: Rows) -> dict[str, NDArray[Any]]:
        return stack_pairs(rows)

    def sums(self, models: Mapping[str, Network], batch: Mapping[str, Tensor]) -> Tensor:
        logp_R, length_R = read_answers(models[POLICY], batch).logp_R, batch["counts"].sum(dim=1)
        chosen_B, rejected_B = (logp_R / length_R.clamp(min=1)).chunk(2)
        margin_B = self.beta * (chosen_B - rejected_B)
        losses_B = -functional.logsigmoid(margin_B - self.gap)
        if self.label_smoothing:
            losses_B = torch.lerp(losses_B, -functional.logsigmoid(self.gap - margin_B), self.label_smoothing)
        (chosen_logp_B, rejected_logp_B), lengths = logp_R.chunk(2), length_R.chunk(2)
        compared = (margin_B.sum(), (margin_B > 0).sum(), (chosen_logp_B > rejected_logp_B).sum())
        reported = (chosen_logp_B.sum(), rejected_logp_B.sum(), *compared, *(length_B.sum() for length_B in lengths))
        return torch.stack([losses_B.sum(), *(value.detach().float() for value in reported)])
