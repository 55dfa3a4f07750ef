"""Direct preference optimization (Rafailov et al., 2023), sigmoid loss, against a frozen reference.

loss = -log sigmoid(beta * ((log p(chosen) - log r(chosen)) - (log p(rejected) - log r(rejected))))

p is the model, r the reference: the model before this training. Log-probabilities are summed over the answer's tokens, its `<|end|>`
included, not over the prompt. The loss is ln 2 at the first step, where p = r.
Cost: three forward passes more than fine-tuning on one answer (two answers, and the reference on both).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from model.networks.network import Network
from model.objectives.chunked import of_each
from model.objectives.protocol import LOSS, POLICY, REFERENCE, Rows, Term, as_int64

REPORTED = ("chosen_logp", "rejected_logp", "reference_chosen_logp", "reference_rejected_logp", "margin", "accuracy", "preferred")


@dataclass(frozen=True)
class Dpo:
    """Rows: `chosen`, `chosen_loss`, `rejected`, `rejected_loss`, each [B, C + 1]; units are pairs.

    Metrics: `chosen_logp`, `rejected_logp` (nats, under the model), the same of the reference, which is the model before training, `margin`
    (beta times the difference of the two log-ratios), `accuracy` (the share of pairs with a margin above 0) and `preferred` (the share
    whose chosen answer is likelier than the rejected one under the model).
    """

    beta: float = 0.1
    reads: ClassVar[tuple[str, ...]] = ("preference",)
    models: ClassVar[tuple[str, ...]] = (REFERENCE,)
    terms: ClassVar[tuple[Term, ...]] = (
        Term(LOSS, "pairs", 1.0),
        *(Term(name, "pairs") for name in REPORTED),
    )

    def units(self, rows: Rows) -> dict[str, float]:
        return {"pairs": float(len(rows["chosen"]))}

    def globals(self, rows: Rows) -> dict[str, float]:
        return {}

    def batch(self, rows: Rows) -> dict[str, NDArray[Any]]:
        """Stack chosen and rejected rows, cut off after the longest answer, so that short pairs are cheap."""
        tokens = as_int64(np.concatenate((rows["chosen"], rows["rejected"])))
        counts = np.concatenate((rows["chosen_loss"], rows["rejected_loss"]))[:, 1:]
        length = int(np.flatnonzero(counts.any(axis=0)).max(initial=0)) + 1
        return {
            "tokens": tokens[:, :-1][:, :length],
            "targets": tokens[:, 1:][:, :length],
            "counts": counts[:, :length],
        }

    def sums(self, models: Mapping[str, Network], batch: Mapping[str, Tensor]) -> Tensor:
        chosen_B, rejected_B = answer_log_probability(models[POLICY], batch).chunk(2)
        with torch.no_grad():
            reference_chosen_B, reference_rejected_B = answer_log_probability(models[REFERENCE], batch).chunk(2)
        margin_B = self.beta * ((chosen_B - reference_chosen_B) - (rejected_B - reference_rejected_B))
        loss = -functional.logsigmoid(margin_B).sum()
        answers = (chosen_B, rejected_B, reference_chosen_B, reference_rejected_B)
        reported = (*(logp_B.sum() for logp_B in answers), margin_B.sum(), (margin_B > 0).sum(), (chosen_B > rejected_B).sum())
        return torch.stack([loss, *(value.detach().float() for value in reported)])


def answer_log_probability(network: Network, batch: Mapping[str, Tensor]) -> Tensor:
    """Return the summed log-probability, in nats, of each row's counted targets; fp32 [rows]."""
    targets_BT = batch["targets"]
    nats_N = of_each(network, network({"tokens": batch["tokens"]}).flatten(0, 1), targets_BT.flatten(), _nats)
    return -(nats_N.view_as(targets_BT) * batch["counts"]).sum(dim=1)


def _nats(logits_NV: Tensor, targets_N: Tensor) -> Tensor:
    return functional.cross_entropy(logits_NV.float(), targets_N, reduction="none")
