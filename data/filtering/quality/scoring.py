"""Scores documents with the quality classifier that stage `quality` trained.

The score of a document depends on its text and the classifier alone: the mean over chunks of the size used in training. Runs at about
4 MB/s, on at most `chunks` chunks a document.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from data.filtering.batch import Batch, Step
from data.filtering.config import QualityConfig
from data.filtering.heuristics import Threshold
from data.filtering.quality.classifier import CARD, WEIGHTS, vectorizer
from data.filtering.quality.config import ClassifierConfig
from data.filtering.quality.examples import chunks


def load_scorer(folder: Path) -> Callable[[list[str]], list[float]]:
    """Load a classifier as a function from texts to probabilities of being good.

    Raise ValueError if the weights don't fit the classifier's card.
    """
    from safetensors.numpy import load_file

    config = ClassifierConfig.model_validate(json.loads((folder / CARD).read_text(encoding="utf-8"))["config"])
    weights = load_file(folder / WEIGHTS)
    if weights["weight"].shape != (1 << config.features_log2,):
        raise ValueError(f"{folder.name}: {WEIGHTS} has {weights['weight'].shape[0]} weights, {CARD} says {1 << config.features_log2}")
    weight, bias, vectorize = weights["weight"].astype(np.float64), float(weights["bias"][0]), vectorizer(config)

    def probabilities(texts: list[str]) -> list[float]:
        chunked = [chunks(text, config.chunk, config.chunks) for text in texts]
        if not chunked:
            return []
        raw = vectorize.transform([chunk for mine in chunked for chunk in mine]) @ weight + bias
        good = 1.0 / (1.0 + np.exp(-raw))
        ends = np.cumsum([len(mine) for mine in chunked])
        return [float(part.mean()) for part in np.split(good, ends[:-1])]

    return probabilities


def quality(config: QualityConfig, classifier: Path) -> Step:
    """Return the step that labels documents with the probability that they are good, and removes those below the threshold."""
    probabilities = load_scorer(classifier)
    bound = Threshold("quality", "quality", "<", config.threshold)

    def step(batch: Batch) -> None:
        alive = batch.remaining
        for document, probability in zip(alive, probabilities([document.text for document in alive]), strict=True):
            document.label(quality=(rounded := round(probability, 4)))
            if bound.failed(rounded):
                document.remove(bound.rule, bound.detail(rounded))

    return step
