"""Simple preference optimization (Meng et al., 2024): the mean log-probability of an answer's tokens is its reward; no reference.

    loss = -log sigmoid(beta * (log p(chosen) by token - log p(rejected) by token) - gap)

`gap` is how much larger the chosen answer's reward should be. `label_smoothing` as in `dpo.py`.
Cost: a forward and backward pass over both answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from model.networks.network import Network
from model.objectives.answers import read_answers, stack_pairs
from model.objectives.protocol import LOSS, POLICY, Rows, Term

REPORTED = ("chosen_logp", "rejected_logp", "margin", "accuracy", "preferred", "chosen_tokens", "rejected_tokens")


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
