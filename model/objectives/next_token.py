"""Next-token prediction: the summed negative log-likelihood, in nats, of the targets.

Only targets with `loss` true are summed. Attention and positions stay inside a document unless `within_documents` is off; where no row
holds more than one document the mask is omitted, which is faster and changes no value that counts.

Supervised fine-tuning: next-token prediction on the answers alone.

The objective is that of pretraining; the rows make it fine-tuning. `loss` is true on the assistant's words and on the `<|end|>` after them,
so the model learns to answer and to stop, and learns nothing from the question. Conversations packed into one row do not attend to each
other.
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

from model.inputs.inputs import input_columns
from model.networks.network import Network
from model.objectives.chunked import of_each, summed
from model.objectives.protocol import IGNORED, LOSS, POLICY, Rows, Term, as_int64

DROPPED = "dropped"  # flags of tokens that the network does not get to read, though they are predicted
DROPPED_TOKEN = 0  # what it reads there: <|pad|>, which no text holds


@dataclass(frozen=True)
class NextToken:
    """Rows: `tokens`, `document`, `loss`, each [B, C + 1], and what else the network reads at each token; units are tokens.

    Training rows may have `dropped` [B, C + 1]: see `model/loading/packed_rows.py`.
    """

    within_documents: bool = True
    reads: ClassVar[tuple[str, ...]] = ("pretrain",)
    models: ClassVar[tuple[str, ...]] = ()
    terms: ClassVar[tuple[Term, ...]] = (Term(LOSS, "tokens", 1.0),)

    def units(self, rows: Rows) -> dict[str, float]:
        return {"tokens": float(np.count_nonzero(rows["loss"][:, 1:]))}

    def globals(self, rows: Rows) -> dict[str, float]:
        return {}

    def batch(self, rows: Rows) -> dict[str, NDArray[Any]]:
        tokens, documents = as_int64(rows["tokens"]), rows["document"][:, :-1]
        targets = np.where(rows["loss"][:, 1:], tokens[:, 1:], IGNORED)
        read = np.where(rows[DROPPED], DROPPED_TOKEN, tokens) if DROPPED in rows else tokens
        out = {**input_columns(rows), "tokens": read[:, :-1], "targets": targets}
        if self.within_documents and (documents != documents[:, :1]).any():
            out["documents"] = as_int64(documents)
        return out

    def sums(self, models: Mapping[str, Network], batch: Mapping[str, Tensor]) -> Tensor:
        policy = models[POLICY]
        return summed(policy, policy(batch).flatten(0, 1), batch["targets"].flatten(), self._sums)

    def sums_of(self, logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
        """As `sums`, from logits computed elsewhere, as by the last stage of a pipeline."""
        return self._sums(logits_BTV.flatten(0, 1), targets_BT.flatten())

    @staticmethod
    def _sums(logits_NV: Tensor, targets_N: Tensor) -> Tensor:
        nats = functional.cross_entropy(logits_NV.float(), targets_N, ignore_index=IGNORED, reduction="sum")
        return nats[None]

    def drawn(self, models: Mapping[str, Network], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the batch with each counted target sampled from the model's own probabilities, for estimates of curvature."""
        policy, targets_BT = models[POLICY], batch["targets"]
        with torch.no_grad():
            drawn_N = of_each(policy, policy(batch).flatten(0, 1), targets_BT.flatten(), _drawn)
        return {**batch, "targets": torch.where(targets_BT == IGNORED, IGNORED, drawn_N.view_as(targets_BT))}


def _drawn(logits_NV: Tensor, targets_N: Tensor) -> Tensor:
    """A token drawn from each target's probabilities, int64 [N]."""
    return torch.multinomial(logits_NV.float().softmax(dim=-1), 1)[:, 0]


@dataclass(frozen=True)
class Sft(NextToken):
    """`NextToken` over rows of conversations; units are answer tokens."""

    reads: ClassVar[tuple[str, ...]] = ("sft",)
