"""Contrastive learning of vectors (InfoNCE, van den Oord et al., 2018): both halves of a passage are to find each other among a batch's.

A passage is the longest document of a row, cut in two at a drawn place. The vector of a half is the mean of its hidden vectors, as
`model.inference.embed` makes it. Of all halves of the step's rows, each has to pick its other half by cosine:

    loss = -log( exp(s_ii / t) / (exp(s_ii / t) + sum_j w_ij exp(s_ij / t)) ),   w_ij ~ exp(hardness s_ij / t), 1 on average

the mean of both directions. hardness 0 weighs all other passages alike; above, the likest weigh more (Robinson et al., 2021). Matryoshka
(Kusupati et al., 2022): the loss is the mean over beginnings of the vectors, of several sizes, so that each is a vector by itself.

Guarantee: losses and gradients do not depend on how a step's rows are divided among micro-batches and workers, up to rounding: one pass
without gradients finds the vectors of all rows (`survey`), and in the second each micro-batch's own vectors stand among them, whose
gradient is that of the whole step's loss (as GradCache, Gao et al., 2021). Cost: each text is read once more, forward only. Which
halves a row gives follows from (seed, position of the row) alone. Validation rows are compared in groups as large as a step's.
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

from data.shards.passages import Span, cut_passage
from model.networks.network import Network
from model.objectives.protocol import BEGINS, LOSS, POLICY, SLOT, Rows, Term, as_int64
from model.seeds import row_generator

VECTORS = "vectors"


@dataclass(frozen=True)
class Contrastive:
    """Rows: `tokens`, `document`, `loss`, each [B, C + 1], `position`, `slot` and `begins` [B]; units are passages.

    sizes: numbers of a vector's beginnings that are compared, the whole among them. group: rows of a step. slots: rows that the second pass
    may be told of. Terms: `loss`, and `accuracy`, the share of first halves whose likest second half is their own.
    """

    sizes: tuple[int, ...]
    group: int
    slots: int
    temperature: float = 0.05
    hardness: float = 0.0
    least_tokens: int = 8
    seed: int = 0
    reads: ClassVar[tuple[str, ...]] = ("pretrain",)
    models: ClassVar[tuple[str, ...]] = ()
    terms: ClassVar[tuple[Term, ...]] = (Term(LOSS, "passages", 1.0), Term("accuracy", "passages"))
    surveyed: ClassVar[tuple[str, ...]] = (VECTORS,)

    def units(self, rows: Rows) -> dict[str, float]:
        return {"passages": float(sum(self.passage(rows, row) is not None for row in range(len(rows["tokens"]))))}

    def globals(self, rows: Rows) -> dict[str, float]:
        return {}

    def batch(self, rows: Rows) -> dict[str, NDArray[Any]]:
        """Return both halves of each row: `tokens` [2 B, T], what begins a text before each, and of which tokens the mean is (`text`)."""
        halves, whole = list[NDArray[np.int64]](), list[bool]()
        for row, tokens in enumerate(as_int64(rows["tokens"])):
            span = self.passage(rows, row)
            begin, cut, end = (0, 0, 0) if span is None else span
            halves += [np.concatenate((rows[BEGINS][row : row + 1], part)) for part in (tokens[begin:cut], tokens[cut:end])]
            whole.append(span is not None)
        width = max(len(half) for half in halves)
        lengths = np.array([[len(half)] for half in halves])
        places = np.arange(width)[None]
        out = {
            "tokens": np.stack([np.pad(half, (0, width - len(half))) for half in halves]).astype(np.int64),
            "text": (places > 0) & (places < lengths),
            SLOT: as_int64(rows[SLOT]),
            "whole": np.array(whole, dtype=np.bool_),
        }
        if lengths.min() < width:
            out["documents"] = (places >= lengths).astype(np.int64)
        return out

    def survey(self, models: Mapping[str, Network], batch: Mapping[str, Tensor]) -> Tensor:
        """Return the vectors of this batch's halves in their rows' slots, with a 1 behind each; fp32 [1, slots, 2, D + 1]."""
        own_B2D = self._vectors(models[POLICY], batch)
        marked_B2E = torch.cat((own_B2D, batch["whole"].float()[:, None, None].expand(-1, 2, 1)), dim=2)
        empty = marked_B2E.new_zeros((self.slots, *marked_B2E.shape[1:]))
        return empty.index_copy(0, batch[SLOT], marked_B2E)[None]

    def sums(self, models: Mapping[str, Network], batch: Mapping[str, Tensor]) -> Tensor:
        own_B2D, slot_B = self._vectors(models[POLICY], batch), batch[SLOT]
        known_N2E = batch[VECTORS].to(own_B2D)
        with torch.autocast(own_B2D.device.type, enabled=False):
            vectors_N2D = known_N2E[..., :-1].index_copy(0, slot_B, own_B2D)
            loss_N, first_N = self.losses(vectors_N2D, known_N2E[:, 0, -1] > 0.5)
        own_B, step = loss_N[slot_B] * batch["whole"], loss_N.sum()
        # The value is the part of these rows; the gradient is that of the step's whole loss, which others' losses add to.
        loss = own_B.sum().detach() + step - step.detach()
        return torch.stack([loss, (first_N[slot_B] & batch["whole"]).sum().float()])

    def losses(self, vectors_N2D: Tensor, there_N: Tensor) -> tuple[Tensor, Tensor]:
        """Return of each passage its loss, 0 where none is, and whether its first half finds its second; fp32 and bool [N]."""
        number_N = torch.arange(len(there_N), device=there_N.device)
        compared_NN = there_N[None] & (number_N[:, None] // self.group == number_N[None] // self.group)
        compared_NN = compared_NN | torch.eye(len(there_N), dtype=torch.bool, device=there_N.device)
        total_N, found_N = vectors_N2D.new_zeros(len(there_N)), torch.zeros_like(there_N)
        for size in self.sizes:
            first_ND, second_ND = functional.normalize(vectors_N2D[..., :size], dim=2).unbind(1)
            scores_NN = first_ND @ second_ND.T / self.temperature
            for scores in (scores_NN, scores_NN.T):
                total_N = total_N + self._of_direction(scores, compared_NN) / (2 * len(self.sizes))
            if size == max(self.sizes):
                found_N = scores_NN.masked_fill(~compared_NN, float("-inf")).argmax(1) == number_N
        return torch.where(there_N, total_N, 0.0), found_N & there_N

    def _of_direction(self, scores_NN: Tensor, compared_NN: Tensor) -> Tensor:
        others_NN = compared_NN & ~torch.eye(len(scores_NN), dtype=torch.bool, device=scores_NN.device)
        if self.hardness:
            weight_NN = (self.hardness * scores_NN.detach()).masked_fill(~others_NN, float("-inf"))
            log_sum_N1 = weight_NN.logsumexp(1, keepdim=True).nan_to_num(neginf=0.0)
            count_N1 = others_NN.sum(1, keepdim=True).clamp(min=1)
            scores_NN = scores_NN + torch.where(others_NN, weight_NN - log_sum_N1 + count_N1.log(), 0.0)
        return scores_NN.masked_fill(~compared_NN, float("-inf")).logsumexp(1) - scores_NN.diagonal()

    def _vectors(self, network: Network, batch: Mapping[str, Tensor]) -> Tensor:
        """Return the mean hidden vector of both halves of each row, fp32 [B, 2, D]; zeros where a row has none."""
        read = {name: batch[name] for name in ("tokens", "documents") if name in batch}
        x_NTD, text_NT1 = network(read).float(), batch["text"][..., None]
        mean_ND: Tensor = (x_NTD * text_NT1).sum(1) / text_NT1.sum(1).clamp(min=1)
        return mean_ND.view(-1, 2, mean_ND.shape[1])

    def passage(self, rows: Rows, row: int) -> Span | None:
        """Return the passage of a row and where it is cut; None if it has none that is long enough."""
        part = row_generator(self.seed, rows["position"][row]).random_raw() / 2.0**64
        tokens, document, loss = (rows[name][row] for name in ("tokens", "document", "loss"))
        return cut_passage(tokens, document, loss, begin=int(rows[BEGINS][row]), least=self.least_tokens, part=part)
