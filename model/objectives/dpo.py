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

from model.networks.decoder import Decoder
from model.objectives.objective import Rows, as_int64


@dataclass(frozen=True)
class Dpo:
    """Rows: `chosen`, `chosen_loss`, `rejected`, `rejected_loss`, each [B, C + 1]; units are pairs.

    Metrics: `chosen_logp`, `rejected_logp` (nats, under the model), `margin` (beta times the difference of the two log-ratios) and
    `accuracy` (the share of pairs with a margin above 0).
    """

    beta: float = 0.1
    shard_kinds: ClassVar[tuple[str, ...]] = ("preference",)
    needs_reference: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = ("loss", "chosen_logp", "rejected_logp", "margin", "accuracy")

    def units(self, rows: Rows) -> int:
        return len(rows["chosen"])

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

    def sums(self, decoder: Decoder, batch: Mapping[str, Tensor], reference: Decoder | None) -> tuple[Tensor, Tensor]:
        if reference is None:
            raise ValueError("DPO needs a frozen reference model; give the job an initial model")
        chosen_B, rejected_B = answer_log_probability(decoder, batch).chunk(2)
        with torch.no_grad():
            reference_chosen_B, reference_rejected_B = answer_log_probability(reference, batch).chunk(2)
        margin_B = self.beta * ((chosen_B - reference_chosen_B) - (rejected_B - reference_rejected_B))
        loss = -functional.logsigmoid(margin_B).sum()
        sums = (loss, chosen_B.sum(), rejected_B.sum(), margin_B.sum(), (margin_B > 0).sum())
        return loss, torch.stack([value.detach().float() for value in sums])


def answer_log_probability(decoder: Decoder, batch: Mapping[str, Tensor]) -> Tensor:
    """Return the summed log-probability, in nats, of each row's counted targets; fp32 [rows]."""
    logits_BTV = decoder(batch["tokens"]).float()
    targets_BT = batch["targets"]
    nats_BT = functional.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten(), reduction="none")
    return -(nats_BT.view_as(targets_BT) * batch["counts"]).sum(dim=1)
