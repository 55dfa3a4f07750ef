"""Next-token prediction: the summed negative log-likelihood, in nats, of the targets.

Only targets with `loss` true are summed. Attention and positions stay inside a document unless `within_documents` is off; where no row
holds more than one document the mask is omitted, which is faster and changes no value that counts.

Multi-token prediction: of a network with heads that predict further ahead, each head's loss besides, with a weight that they share. A
head's targets are those that count, of the document that its token belongs to; its loss is their mean. `loss` is the network's own, without
the heads'.

Supervised fine-tuning: next-token prediction on the answers alone.

The objective is that of pretraining; the rows make it fine-tuning. `loss` is true on the assistant's words and on the `<|end|>` after them,
so the model learns to answer and to stop, and learns nothing from the question. Conversations packed into one row do not attend to each
other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
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

    Training rows may have `dropped` [B, C + 1]: see `model/loading/packed_rows.py`. heads: of the network, that are trained, too. Terms:
    `loss`, and of head k `ahead_k_loss` and `ahead_k_accuracy`, the share of its own targets that it finds likeliest.
    """

    within_documents: bool = True
    heads: int = 0
    heads_weight: float = 0.3
    reads: ClassVar[tuple[str, ...]] = ("pretrain",)
    models: ClassVar[tuple[str, ...]] = ()

    @property
    def terms(self) -> tuple[Term, ...]:
        """The network's own loss, then each head's loss and accuracy; the heads share their weight."""
        each = (
            (Term(f"{name}_loss", name, self.heads_weight / self.heads, optional=True), Term(f"{name}_accuracy", name))
            for name in (f"ahead_{depth}" for depth in range(1, self.heads + 1))
        )
        return (Term(LOSS, "tokens", 1.0), *chain.from_iterable(each))

    def units(self, rows: Rows) -> dict[str, float]:
        further = self._targets_ahead(rows)
        ahead = {f"ahead_{depth + 1}": float(np.count_nonzero(further[:, depth] != IGNORED)) for depth in range(self.heads)}
        return {"tokens": float(np.count_nonzero(rows["loss"][:, 1:])), **ahead}

    def globals(self, rows: Rows) -> dict[str, float]:
        return {}

    def batch(self, rows: Rows) -> dict[str, NDArray[Any]]:
        tokens, documents = as_int64(rows["tokens"]), rows["document"][:, :-1]
        targets = np.where(rows["loss"][:, 1:], tokens[:, 1:], IGNORED)
        read = np.where(rows[DROPPED], DROPPED_TOKEN, tokens) if DROPPED in rows else tokens
        out = {**input_columns(rows), "tokens": read[:, :-1], "targets": targets}
        if self.heads:
            out["targets_ahead"] = self._targets_ahead(rows)
        if self.within_documents and (documents != documents[:, :1]).any():
            out["documents"] = as_int64(documents)
        return out

    def sums(self, models: Mapping[str, Network], batch: Mapping[str, Tensor]) -> Tensor:
        policy = models[POLICY]
        if not self.heads:
            return summed(policy, policy(batch).flatten(0, 1), batch["targets"].flatten(), self._sums)
        own_BTD, *ahead = policy.ahead(batch)
        sums = [summed(policy, own_BTD.flatten(0, 1), batch["targets"].flatten(), self._sums)]
        for depth, x_BTD in enumerate(ahead):
            sums.append(summed(policy, x_BTD.flatten(0, 1), batch["targets_ahead"][:, depth].flatten(), _sums_and_hits))
        return torch.cat(sums)

    def sums_of(self, logits_BTV: Tensor, targets_BT: Tensor) -> Tensor:
        """As `sums`, from logits computed elsewhere, as by the last stage of a pipeline."""
        return self._sums(logits_BTV.flatten(0, 1), targets_BT.flatten())

    def _targets_ahead(self, rows: Rows) -> NDArray[np.int64]:
        """Return the target of each head at each token, [B, heads, T]; IGNORED where its document has ended or nothing counts."""
        tokens, documents, counted = as_int64(rows["tokens"]), rows["document"], rows["loss"]
        targets = np.full((len(tokens), self.heads, tokens.shape[1] - 1), IGNORED, dtype=np.int64)
        same = documents[:, 1:] == documents[:, :-1]
        together = same
        for depth in range(1, min(self.heads, tokens.shape[1] - 2) + 1):
            together = together[:, :-1] & same[:, depth:]
            targets[:, depth - 1, :-depth] = np.where(together & counted[:, depth + 1 :], tokens[:, depth + 1 :], IGNORED)
        return targets

    @staticmethod
    def _sums(logits_NV: Tensor, targets_N: Tensor) -> Tensor:
        nats = functional.cross_entropy(logits_NV.float(), targets_N, ignore_index=IGNORED, reduction="sum")
        return nats[None]

    def drawn(self, models: Mapping[str, Network], batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the batch with each counted target sampled from the model's own probabilities, for estimates of curvature."""
        policy = models[POLICY]

        def draw(x_BTD: Tensor, targets_BT: Tensor) -> Tensor:
            drawn_N = of_each(policy, x_BTD.flatten(0, 1), targets_BT.flatten(), _drawn)
            return torch.where(targets_BT == IGNORED, IGNORED, drawn_N.view_as(targets_BT))

        with torch.no_grad():
            own_BTD, *ahead = policy.ahead(batch) if self.heads else [policy(batch)]
            drawn = {"targets": draw(own_BTD, batch["targets"])}
            if ahead:
                each = [draw(x_BTD, batch["targets_ahead"][:, depth]) for depth, x_BTD in enumerate(ahead)]
                drawn["targets_ahead"] = torch.stack(each, dim=1)
        return {**batch, **drawn}


def _sums_and_hits(logits_NV: Tensor, targets_N: Tensor) -> Tensor:
    """The summed loss, and how many targets are the likeliest token."""
    nats = functional.cross_entropy(logits_NV.float(), targets_N, ignore_index=IGNORED, reduction="sum")
    return torch.stack([nats, (logits_NV.detach().argmax(-1) == targets_N).sum().float()])


def _drawn(logits_NV: Tensor, targets_N: Tensor) -> Tensor:
    """A token drawn from each target's probabilities, int64 [N]."""
    return torch.multinomial(logits_NV.float().softmax(dim=-1), 1)[:, 0]


@dataclass(frozen=True)
class Sft(NextToken):
    """`NextToken` over rows of conversations; units are answer tokens."""

    reads: ClassVar[tuple[str, ...]] = ("sft",)
