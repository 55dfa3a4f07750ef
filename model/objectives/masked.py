"""Masked language modelling (Devlin et al., 2019): hide some tokens of a text and predict them from all others.

Of the chosen tokens some become the mask, some a token drawn from the vocabulary, and some stay unchanged, so the network must
understand every token and not the masked ones alone. With `whole_words` all tokens of a word are chosen or none, since a rest of a word
often tells what is hidden of it; what becomes of a token is drawn for each. The loss is the summed negative log-likelihood, in nats, of the
chosen tokens.

Guarantee: which tokens of a row are chosen, and what becomes of them, follows from (seed, position of the row) alone; so it is the same
on any number of workers and in a resumed run, and validation rows, whose positions never change, are always hidden in the same places.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
from model.seeds import row_generator

CONTINUES = "continues"  # flags of tokens that go on the word of the token before
KEPT, MASKED = -1, -2  # what becomes of a token; 0 and above: it is replaced by that number modulo the vocabulary


@dataclass(frozen=True)
class Masked:
    """Rows: `tokens`, `document`, `loss`, each [B, C + 1], and `position` [B]; with `whole_words` also `continues` [B, C + 1]. Units are
    chosen tokens.

    A share of each row's tokens that count in the loss is chosen, at least one; of whole words, in a drawn order, those that fit into it,
    at least one. The first column is left out: it repeats the last of another row. Terms: `loss`, and `accuracy`, the share of chosen
    tokens that the network finds likeliest.
    """

    share: float = 0.15
    masked_share: float = 0.8
    random_share: float = 0.1
    seed: int = 0
    within_documents: bool = True
    whole_words: bool = False
    reads: ClassVar[tuple[str, ...]] = ("pretrain",)
    models: ClassVar[tuple[str, ...]] = ()
    terms: ClassVar[tuple[Term, ...]] = (Term(LOSS, "chosen", 1.0), Term("accuracy", "chosen"))

    def units(self, rows: Rows) -> dict[str, float]:
        if self.whole_words:
            return {"chosen": float(sum(len(chosen) for chosen, _ in self._choices(rows)))}
        return {"chosen": float(sum(self._count(counted) for counted in np.count_nonzero(rows["loss"][:, 1:], axis=1).tolist()))}

    def globals(self, rows: Rows) -> dict[str, float]:
        return {}

    def batch(self, rows: Rows) -> dict[str, NDArray[Any]]:
        tokens, documents = as_int64(rows["tokens"])[:, 1:], rows["document"][:, 1:]
        targets, becomes = np.full_like(tokens, IGNORED), np.full_like(tokens, KEPT)
        for row, (chosen, those) in enumerate(self._choices(rows)):
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

    def _choices(self, rows: Rows) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Yield of each row which columns are chosen, from 0 for the second, and what becomes of each."""
        counted = rows["loss"][:, 1:]
        for row, position in enumerate(rows["position"].tolist()):
            yield self.choose(np.flatnonzero(counted[row]), position, rows[CONTINUES][row, 1:] if self.whole_words else None)

    def choose(
        self, counted: NDArray[np.int64], position: int, continues: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return which of the columns `counted` are chosen in the row at `position`, and what becomes of each.

        `continues`: of all columns, whether a token goes on a word; None: each is chosen by itself.
        """
        count = self._count(len(counted))
        generator = row_generator(self.seed, position)
        order, fate, drawn = generator.random_raw(3 * len(counted)).reshape(3, -1)
        if continues is None:
            chosen = np.sort(np.argsort(order, kind="stable")[:count])
        else:
            begins = np.ones(len(counted), dtype=np.bool_)
            begins[1:] = ~continues[counted[1:]] | (np.diff(counted) != 1)
            chosen = _words(np.split(np.arange(len(counted)), np.flatnonzero(begins)[1:]), order, count)
        part = fate[chosen] / 2.0**64
        replaced = np.where(part < self.masked_share + self.random_share, (drawn[chosen] >> np.uint64(1)).astype(np.int64), KEPT)
        return counted[chosen], np.where(part < self.masked_share, MASKED, replaced)

    def _count(self, counted: int) -> int:
        """How many of a row's tokens that count are chosen: the nearest to the share, at least one if there is any."""
        return min(counted, max(1, round(self.share * counted)))


def _words(words: list[NDArray[np.int64]], order: NDArray[np.uint64], count: int) -> NDArray[np.int64]:
    """Return the places of whole words, in the order of their first tokens' draws, that fit into `count`; at least one word."""
    taken, left = list[NDArray[np.int64]](), count
    for number in np.argsort(order[[word[0] for word in words if len(word)]], kind="stable").tolist():
        if len(words[number]) <= left or not taken:
            taken.append(words[number])
            left -= len(words[number])
        if left <= 0:
            break
    return np.sort(np.concatenate(taken)) if taken else np.empty(0, dtype=np.int64)


def _loss_and_hits(logits_NV: Tensor, targets_N: Tensor) -> Tensor:
    nats = functional.cross_entropy(logits_NV.float(), targets_N, reduction="sum")
    return torch.stack([nats, (logits_NV.detach().argmax(-1) == targets_N).sum().float()])


def hide(tokens_BT: Tensor, becomes_BT: Tensor, vocab_size: int) -> Tensor:
    """Return the tokens that the network reads; the mask's id is `vocab_size`."""
    hidden_BT = torch.where(becomes_BT == MASKED, vocab_size, tokens_BT)
    return torch.where(becomes_BT >= 0, becomes_BT % vocab_size, hidden_BT)
