"""Kahneman-Tversky optimization (Ethayarajh et al., 2024): answers that are each good or bad by themselves, against a frozen reference.

    loss = desirable_weight   * (1 - sigmoid(beta (h - z)))   for a good answer, h = log p(answer) - log r(answer)
           undesirable_weight * (1 - sigmoid(beta (z - h)))   for a bad one
    z    = max(0, mean of h over answers to other questions)  an estimate of KL(p || r); nothing is learned from it

p is the model, r the reference: the model before this training. z is a mean over the whole global batch, so a step is computed in two
passes: the first finds z without gradients (`survey`).
Cost: beside learning from each answer the reference's pass on it, and both models' on an answer to another question; with `cached` the
reference's passes are spared.
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
from model.objectives.answers import answer_batch, answer_kl, read_answers
from model.objectives.protocol import LOSS, POLICY, REFERENCE, Rows, Term

OTHER = "other_"  # of the columns that hold the answer to another question
CACHED = ("reference_logp", "reference_other_logp")
KL_SUM, KL_ROWS = "kl_sum", "kl_rows"
SIDES = (("chosen", "desirable"), ("rejected", "undesirable"))  # metrics begin with the first; the second is what they are means over


@dataclass(frozen=True)
class Kto:
    """Rows: `tokens`, `loss` [B, C + 1], `desirable` [B], and `other_tokens`, `other_loss` of another question; units are answers.

    `cached`: rows also have `reference_logp` and `reference_other_logp` [B], so no reference is needed.
    Metrics: `accuracy` (the share of answers on their side of z), `z`, and of the good answers `chosen_logp` (nats), `chosen_reward` (beta
    times h) and `chosen_tokens`, of the bad ones the same as `rejected_...`; `kl` as of `Dpo`.
    """

    beta: float = 0.1
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0
    cached: bool = False
    reads: ClassVar[tuple[str, ...]] = ("labels", "preference")
    cacheable: ClassVar[tuple[str, ...]] = CACHED
    surveyed: ClassVar[tuple[str, ...]] = (KL_SUM, KL_ROWS)

    @property
    def models(self) -> tuple[str, ...]:
        return () if self.cached else (REFERENCE,)

    @property
    def terms(self) -> tuple[Term, ...]:
        of_sides = (Term(f"{side}_{what}", unit) for side, unit in SIDES for what in ("logp", "reward", "tokens"))
        kl = () if self.cached else (Term("kl", "answer_tokens"),)
        return (Term(LOSS, "answers", 1.0), Term("accuracy", "answers"), Term("z", "answers"), *of_sides, *kl)

    def units(self, rows: Rows) -> dict[str, float]:
        answers, good = len(rows["desirable"]), int(np.count_nonzero(rows["desirable"]))
        tokens = int(np.count_nonzero(rows["loss"][:, 1:]))
        return {"answers": float(answers), "desirable": float(good), "undesirable": float(answers - good), "answer_tokens": float(tokens)}

    def globals(self, rows: Rows) -> dict[str, float]:
        return {}

    def batch(self, rows: Rows) -> dict[str, NDArray[Any]]:
        tokens, flags = exchange_answers(rows)
        others = {f"{OTHER}{name}": values for name, values in answer_batch([tokens], [flags]).items()}
        known = {name: rows[name].astype(np.float32) for name in CACHED if name in rows}
        return {**answer_batch([rows["tokens"]], [rows["loss"]]), **others, **known, "desirable": rows["desirable"]}

    def cache(self, models: Mapping[str, Network], batch: Mapping[str, Tensor]) -> Tensor:
        """Return the columns that `cached` adds to rows, fp32 [B, 2], computed by the reference or, without one, the untrained policy."""
        reference = models.get(REFERENCE, models[POLICY])
        return torch.stack([read_answers(reference, part).logp_R for part in (batch, _others(batch))], dim=1)

    def survey(self, models: Mapping[str, Network], batch: Mapping[str, Tensor]) -> Tensor:
        """Return what z is computed from: the sum of h over answers to other questions, and their number; fp32 [2]."""
        others = _others(batch)
        logp_B = read_answers(models[POLICY], others).logp_R
        reference_B = batch[CACHED[1]] if self.cached else read_answers(models[REFERENCE], others).logp_R
        return torch.stack([(logp_B - reference_B).sum(), torch.ones_like(logp_B).sum()])

    def sums(self, models: Mapping[str, Network], batch: Mapping[str, Tensor]) -> Tensor:
        read, kl = read_answers(models[POLICY], batch), tuple[Tensor, ...]()
        if self.cached:
            reference_B = batch[CACHED[0]]
        else:
            with torch.no_grad():
                frozen = read_answers(models[REFERENCE], batch)
            reference_B, kl = frozen.logp_R, (answer_kl(models[POLICY], read, models[REFERENCE], frozen, batch),)
        good_B, ratio_B, z = batch["desirable"], read.logp_R - reference_B, (batch[KL_SUM] / batch[KL_ROWS]).clamp(min=0)
        gain_B = torch.where(good_B, ratio_B - z, z - ratio_B)
        weight_B = torch.where(good_B, self.desirable_weight, self.undesirable_weight)
        loss = (weight_B * torch.sigmoid(-self.beta * gain_B)).sum()
        measured = (read.logp_R, self.beta * ratio_B, batch["counts"].sum(dim=1))
        of_sides = ((value_B * side_B).sum() for side_B in (good_B, ~good_B) for value_B in measured)
        reported = ((gain_B > 0).sum(), z * len(good_B), *of_sides, *kl)
        return torch.stack([loss, *(value.detach().float() for value in reported)])


def exchange_answers(rows: Rows) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return the rows with the answers of `other_tokens` after their prompts, cut off where a row ends, and the flags of their tokens."""
    tokens, flags = rows["tokens"].copy(), np.zeros_like(rows["loss"])
    width = tokens.shape[1]
    for row, (counted, others) in enumerate(zip(rows["loss"], rows[f"{OTHER}loss"], strict=True)):
        start = int(counted.argmax()) if counted.any() else 1
        answer = rows[f"{OTHER}tokens"][row][others][: width - start]
        tokens[row, start:] = 0
        tokens[row, start : start + len(answer)] = answer
        flags[row, start : start + len(answer)] = True
    return tokens, flags


def _others(batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    names = ("tokens", "targets", "counts", "places")
    return {name: batch[f"{OTHER}{name}"] for name in names}
