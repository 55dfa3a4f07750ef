"""Measure how well the vectors of texts find what belongs together: of each passage the second half, among those of all passages.

A passage is the longest document of a row, cut in the middle; vectors are those that texts are given when a model is served. A half is
found at k if fewer than k other passages' second halves are as near. Passages follow from the shards alone, so they are the same for every
model, and for the baseline that compares the same halves by the tokens that they share (BM25). Cost: one forward pass over the passages.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data.shards.names import DEPTHS
from data.shards.passages import halved_passages
from data.shards.reader import ShardReader
from model.evaluation.intervals import proportion
from model.inference.embed import HiddenVectors, WholeTexts, embed

if TYPE_CHECKING:
    from model.networks.network import Network


def evaluate_retrieval(model: Network, shards_dir: Path, *, most: int, confidence: float = 0.95) -> dict[str, float]:
    """Return recall_at_1, _5 and _10, each with _error, _low and _high (Wilson), and the number of passages; without two, nothing."""
    reader = ShardReader(shards_dir)
    pairs, begin = halved_passages(reader, most), reader.metadata.begin
    if len(pairs) < 2:
        return {}
    vectors: HiddenVectors = model.decoding() if "generation" in model.config.SUPPORTS else WholeTexts(model)
    first, second = (np.array(embed(vectors, [[begin, *pair[half]] for pair in pairs], begin)) for half in (0, 1))
    cosines = first @ second.T
    nearer = (cosines >= cosines.diagonal()[:, None]).sum(axis=1) - 1
    metrics = {"passages": float(len(pairs))}
    for depth in DEPTHS:
        metrics |= proportion(int((nearer < depth).sum()), len(pairs), confidence).metrics(f"recall_at_{depth}")
    return metrics
