"""Prefix language modelling (Raffel et al., 2020): each document begins with a prompt, which is read both ways, and the rest is predicted.

Of the shown tokens of a document the first ones are its prompt, a share drawn evenly between two bounds. A network with
`prompt: bidirectional` lets all of the document see them; the loss counts the tokens behind them alone, the first of which the prompt's
last token predicts. With a prompt of no tokens or of one, the document is read causally, so such a network still has a probability for
every text.

Guarantee: the prompts of a row follow from (seed, position of the row) alone; so they are the same on any number of workers and in a
resumed run, and those of validation rows, whose positions never change, stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.shards.schema import document_spans
from model.objectives.next_token import NextToken
from model.objectives.protocol import IGNORED, Rows
from model.seeds import row_generator

PROMPT = "prompt"  # flags of the tokens that all of their document sees


@dataclass(frozen=True)
class PrefixLm(NextToken):
    """As `NextToken`, and `position` [B]; units are the tokens behind the prompts that count. least, most: share of a document."""

    least: float = 0.0
    most: float = 0.75
    seed: int = 0

    def units(self, rows: Rows) -> dict[str, float]:
        return {"tokens": float(np.count_nonzero(rows["loss"][:, 1:] & ~_told(self.prompts(rows))))}

    def batch(self, rows: Rows) -> dict[str, NDArray[Any]]:
        out, prompts = super().batch(rows), self.prompts(rows)
        return {**out, "targets": np.where(_told(prompts), IGNORED, out["targets"]), PROMPT: prompts}

    def prompts(self, rows: Rows) -> NDArray[np.bool_]:
        """Return which of the tokens that are read belong to their document's prompt, bool [B, C]."""
        documents = rows["document"][:, :-1]
        found = np.zeros(documents.shape, dtype=np.bool_)
        for row, position in enumerate(rows["position"].tolist()):
            spans = list(document_spans(documents[row]))
            drawn = row_generator(self.seed, position).random_raw(len(spans)) / 2.0**64
            for (start, end), part in zip(spans, drawn.tolist(), strict=True):
                found[row, start : start + int((self.least + part * (self.most - self.least)) * (end - start))] = True
        return found


def _told(prompts: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which targets belong to a prompt themselves, bool [B, C]."""
    return np.pad(prompts[:, 1:], ((0, 0), (0, 1)))
