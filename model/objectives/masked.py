"""Masked language modelling (Devlin et al., 2019): hide some tokens of a text and predict them from all others.

Of the chosen tokens some become the mask, some a token drawn from the vocabulary, and some stay unchanged, so the network must
understand every token and not the masked ones alone. The loss is the summed negative log-likelihood, in nats, of the chosen tokens.

Guarantee: which tokens of a row are chosen, and what becomes of them, follows from (seed, position of the row) alone; so it is the same
on any number of workers and in a resumed run, and validation rows, whose positions never change, are always hidden in the same places.
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
from model.objectives.chunked import summed
from model.objectives.protocol import IGNORED, LOSS, POLICY, Rows, Term, as_int64

KEPT, MASKED = -1, -2  # what becomes of a token; 0 and above: it is replaced by that number modulo the vocabulary


@dataclass(frozen=True)
class Masked:
    """Rows: `tokens`, `document`, `loss`, each [B, C + 1], and `position` [B]; units are chosen tokens.

    A share of each row's tokens that count in the loss is chosen, at least one. The first column is left out: it repeats the last of
    another row. Terms: `loss`, and `accuracy`, the share of chosen tokens that the network finds likeliest.
    """

    share: float = 0.15
    masked_share: float = 0.8
    random_share: float = 0.1
    seed: int = 0
    within_documents: bool = True
    reads: ClassVar[tuple[str, ...]] = ("pretrain",)
    models: ClassVar[tuple[str, ...]] = ()
    terms: ClassVar[tuple[Term, ...]] = (Term(LOSS, "chosen", 1.0), Term("accuracy", "chosen"))

    def units(self, rows: Rows) -> dict[str, float]:
        return {"chosen": float(sum(self._count(counted) for counted in np.count_nonzero(rows["loss"][:, 1:], axis=1).tolist()))}

    def globals(self, rows: Rows) -> dict[str, float]:
        return {}

    def batch(self, rows: Rows) -> dict[str, NDArray[Any]]:
        tokens, documents, counted = as_int64(rows["tokens"])[:, 1:], rows["document"][:, 1:], rows["loss"][:, 1:]
        targets, becomes = np.full_like(tokens, IGNORED), np.full_like(tokens, KEPT)
        for row, position in enumerate(rows["position"].tolist()):
            chosen, those = self.choose(np.flatnonzero(counted[row]), position)
            targets[row, chosen], becomes[row, chosen] = tokens[row, chosen], those
        # The places of the chosen tokens are found here, since the device would have to be waited for.
        out = {"tokens": tokens, "targets": targets, "becomes": becomes, "places": np.flatnonzero(targets != IGNORED)}
        if self.within_documents and (documents != documents[:, :1]).any():
            out["documents"] = as_int64(documents)
        return out

    def sums(self, models: Mapping[str, Network], batch: Mapping[str, Tensor]) -> Tensor:
        network, places_N = models[POLICY], batch["places"]
        inputs = {**batch, "tokens": hide(batch["tokens"], batch["becomes"], network.vocab_size)}
        return summed(network, network(inputs).flatten(0, 1)[places_N], batch["targets"].flatten()[places_N], _loss_and_hits)

    def choose(self, counted: NDArray[np.int64], position: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return which of the columns `counted` are chosen in the row at `position`, and what becomes of each."""
        count = self._count(len(counted))
        # Raw draws of Philox, which NumPy promises never to change; its key holds exactly the two numbers.
        generator = np.random.Philox(key=np.array([self.seed, position], dtype=np.uint64))
        order, fate, drawn = generator.random_raw(3 * len(counted)).reshape(3, -1)
        chosen = np.sort(np.argsort(order, kind="stable")[:count])
        part = fate[chosen] / 2.0**64
        replaced = np.where(part < self.masked_share + self.random_share, (drawn[chosen] >> np.uint64(1)).astype(np.int64), KEPT)
        return counted[chosen], np.where(part < self.masked_share, MASKED, replaced)

    def _count(self, counted: int) -> int:
        """How many of a row's tokens that count are chosen: the nearest to the share, at least one if there is any."""
        return min(counted, max(1, round(self.share * counted)))


def _loss_and_hits(logits_NV: Tensor, targets_N: Tensor) -> Tensor:
    nats = functional.cross_entropy(logits_NV.float(), targets_N, reduction="sum")
    return torch.stack([nats, (logits_NV.detach().argmax(-1) == targets_N).sum().float()])


def hide(tokens_BT: Tensor, becomes_BT: Tensor, vocab_size: int) -> Tensor:
    """Return the tokens that the network reads; the mask's id is `vocab_size`."""
    hidden_BT = torch.where(becomes_BT == MASKED, vocab_size, tokens_BT)
    return torch.where(becomes_BT >= 0, becomes_BT % vocab_size, hidden_BT)
