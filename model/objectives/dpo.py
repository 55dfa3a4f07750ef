"""Direct preference optimization (Rafailov et al., 2023) against a frozen reference, with three losses.

    h = (log p(chosen) - log r(chosen)) - (log p(rejected) - log r(rejected))

    sigmoid   -log sigmoid(beta h)                                        ln 2 at the first step, where p = r
    hinge     max(0, 1 - beta h)                                          as SLiC (Zhao et al., 2023)
    ipo       (h' - 1 / (2 beta))^2                                       Azar et al., 2023; h' from means over an answer's tokens

p is the model, r the reference: the model before this training. `label_smoothing` e takes the pair for swapped with probability e:
(1 - e) -log sigmoid(beta h) + e -log sigmoid(-beta h).
Cost: three forward passes more than fine-tuning on one answer (two answers, and the reference on both), one more without the reference's,
where its log-probabilities come with the rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from model.networks.network import Network
from model.objectives.answers import SIDES, answer_kl, answer_lengths, read_answers, stack_pairs
from model.objectives.protocol import LOSS, POLICY, REFERENCE, Rows, Term

Loss = Literal["sigmoid", "hinge", "ipo"]
REFERENCES = tuple(f"reference_{side}_logp" for side in SIDES)  # also columns of rows that bring them
REPORTED = ("chosen_logp", "rejected_logp", *REFERENCES, "margin", "accuracy", "preferred", "chosen_tokens", "rejected_tokens")


@dataclass(frozen=True)
class Dpo:
    """Rows: `chosen`, `chosen_loss`, `rejected`, `rejected_loss`, each [B, C + 1]; units are pairs, and the answers' tokens.

    `cached`: rows also have `reference_chosen_logp` and `reference_rejected_logp` [B], so no reference is needed.
    Metrics: `chosen_logp`, `rejected_logp` (nats, under the model), the same of the reference, which is the model before training, `margin`
    (beta times the difference of the two log-ratios), `accuracy` (the share of pairs with a margin above 0), `preferred` (the share
    whose chosen answer is likelier than the rejected one under the model), `chosen_tokens`, `rejected_tokens` (lengths), and `kl`: how
    far the model's next token diverges from the reference's, mean over the answers' tokens, in nats; not known with `cached`.
    """

    beta: float = 0.1
    loss: Loss = "sigmoid"
    label_smoothing: float = 0.0
    cached: bool = False
    reads: ClassVar[tuple[str, ...]] = ("preference",)
    cacheable: ClassVar[tuple[str, ...]] = REFERENCES

    @property
    def models(self) -> tuple[str, ...]:
        return () if self.cached else (REFERENCE,)

    @property
    def terms(self) -> tuple[Term, ...]:
        reported = (Term(name, "pairs") for name in REPORTED)
        return (Term(LOSS, "pairs", 1.0), *reported, *(() if self.cached else (Term("kl", "answer_tokens"),)))

    def units(self, rows: Rows) -> dict[str, float]:
        return {"pairs": float(len(rows["chosen"])), "answer_tokens": sum(answer_lengths(rows, side) for side in SIDES)}

    def globals(self, rows: Rows) -> dict[str, float]:
        return {}

    def batch(self, rows: Rows) -> dict[str, NDArray[Any]]:
        """Stack chosen and rejected rows, cut off after the longest answer, so short pairs are cheap."""
        known = {REFERENCE: np.concatenate([rows[name] for name in REFERENCES]).astype(np.float32)} if REFERENCES[0] in rows else {}
        return {**stack_pairs(rows), **known}

    def cache(self, models: Mapping[str, Network], batch: Mapping[str, Tensor]) -> Tensor:
        """Return the columns that `cached` adds to rows, fp32 [B, 2], computed by the reference or, without one, the untrained policy."""
        reference = models.get(REFERENCE, models[POLICY])
        return torch.stack(read_answers(reference, batch).logp_R.chunk(2), dim=1)

    def sums(self, models: Mapping[str, Network], batch: Mapping[str, Tensor]) -> Tensor:
        read = read_answers(models[POLICY], batch)
        if self.cached:
            reference_R, kl = batch[REFERENCE], tuple[Tensor, ...]()
        else:
            with torch.no_grad():
                frozen = read_answers(models[REFERENCE], batch)
            reference_R, kl = frozen.logp_R, (answer_kl(models[POLICY], read, models[REFERENCE], frozen, batch),)
        ratio_R, length_R = read.logp_R - reference_R, batch["counts"].sum(dim=1)
        margin_B = self.beta * _difference(ratio_R)
        loss = self._losses(margin_B, ratio_R / length_R.clamp(min=1)).sum()
        (chosen_B, rejected_B), lengths = read.logp_R.chunk(2), length_R.chunk(2)
        answers = (chosen_B, rejected_B, *reference_R.chunk(2))
        compared = (margin_B.sum(), (margin_B > 0).sum(), (chosen_B > rejected_B).sum())
        reported = (*(logp_B.sum() for logp_B in answers), *compared, *(length_B.sum() for length_B in lengths), *kl)
        return torch.stack([loss, *(value.detach().float() for value in reported)])

    def _losses(self, margin_B: Tensor, mean_ratio_R: Tensor) -> Tensor:
        """The loss of each pair. `mean_ratio_R`: log-ratios by token."""
        if self.loss == "ipo":
            return (_difference(mean_ratio_R) - 1 / (2 * self.beta)) ** 2
        if self.loss == "hinge":
            return functional.relu(1 - margin_B)
        losses_B = -functional.logsigmoid(margin_B)
        return torch.lerp(losses_B, -functional.logsigmoid(-margin_B), self.label_smoothing) if self.label_smoothing else losses_B


def _difference(of_answers_R: Tensor) -> Tensor:
    """Chosen minus rejected, of rows that hold the chosen first."""
    chosen_B, rejected_B = of_answers_R.chunk(2)
    return chosen_B - rejected_B
