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

from model.objectives.next_token import NextToken
from model.objectives.protocol import IGNORED, Rows

PROMPT = "prompt"  # flags of the tokens that all of their document sees


@dataclass(frozen=True)
class PrefixLm(NextToken):
    """As `NextToken`, and `position` [B]; units are the tokens behind the prompts that count. least, most: share of a document."""

    least: float = 0.0
    most: float = 0.75
    seed: int = 0

    def units(self, rows: Rows) -> dict[str, float]:
        return {"tokens": float(np.count_nonzero(rows["loss"][:, 1:] & ~self._told(rows)))}

    def batch(self, rows: Rows) -> dict[str, NDArray[Any]]:
        out = super().batch(rows)
        return {**out, "targets": np.where(self._told(rows), IGNORED, out["targets"]), PROMPT: self.prompts(rows)}

    def prompts(self, rows: Rows) -> NDArray[np.bool_]:
        """Return which of the tokens that are read belong to their document's prompt, bool [B, C]."""
        documents = rows["document"][:, :-1]
        found = np.zeros(documents.shape, dtype=np.bool_)
        for row, position in enumerate(rows["position"].tolist()):
            edges = [0, *(np.flatnonzero(documents[row, 1:] != documents[row, :-1]) + 1).tolist(), documents.shape[1]]
            # Raw draws of Philox, which NumPy promises never to change; its key holds exactly the two numbers.
            drawn = np.random.Philox(key=np.array([self.seed, position], dtype=np.uint64)).random_raw(len(edges) - 1) / 2.0**64
            for start, end, part in zip(edges[:-1], edges[1:], drawn.tolist(), strict=True):
                found[row, start : start + int((self.least + part * (self.most - self.least)) * (end - start))] = True
        return found

    def _told(self, rows: Rows) -> NDArray[np.bool_]:
        """Return which targets belong to a prompt themselves, bool [B, C]."""
        told = np.zeros_like(rows["loss"][:, 1:])
        told[:, :-1] = self.prompts(rows)[:, 1:]
        return told
