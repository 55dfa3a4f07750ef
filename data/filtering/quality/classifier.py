"""Trains the quality classifier: logistic regression over hashed words.

Equal examples and configuration give equal bytes (the solver is single-threaded and its weights are rounded to float32). Weights are stored
as safetensors, the rest as JSON; nothing is unpickled. A classifier that can't tell good from bad on unseen examples is refused, not saved.
All chunks of a text are in the same fold, so the measurement doesn't reward memorization. Costs about 3 MB/s of examples, and a fit for
each fold.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from data.filtering.observed_files import ObservedFiles
from data.filtering.quality.config import ClassifierConfig
from data.filtering.quality.examples import SIDES, ExampleError, chunks, example_files, read_texts

WEIGHTS, CARD = "classifier.safetensors", "classifier.json"


class UselessClassifier(ValueError):
    """The classifier can't tell good from bad; the message has its AUC."""


def train(config: ClassifierConfig, files: ObservedFiles, output: Path) -> dict[str, float]:
    """Train on the examples, and write classifier.safetensors and classifier.json into `output`.

    Return auc and accuracy on unseen texts (cross-validation), and positives, negatives and pieces (chunks). Raise UselessClassifier if the
    AUC is below the minimum, and ExampleError for examples that can't be used or are fewer on a side than folds.
    """
    from safetensors.numpy import save_file
    from sklearn.metrics import accuracy_score, roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold

    chunked, good, text_of = _examples(config, files)
    features = vectorizer(config).transform(chunked)
    guesses = np.zeros(len(chunked))
    for seen, unseen in StratifiedGroupKFold(config.folds, shuffle=True, random_state=config.seed).split(features, good, text_of):
        guesses[unseen] = _fit(config, features[seen], good[seen]).predict_proba(features[unseen])[:, 1]
    number = int(text_of.max()) + 1
    guess = np.bincount(text_of, guesses, number) / np.bincount(text_of, minlength=number)
    truth = np.bincount(text_of, good, number) > 0
    auc, accuracy = float(roc_auc_score(truth, guess)), float(accuracy_score(truth, guess >= 0.5))
    if auc < config.minimum_auc:
        raise UselessClassifier(
            f"filter.quality: on unseen texts the classifier has an AUC of {auc:.3f}, below minimum_auc={config.minimum_auc}; "
            f"give it more and clearer examples (it had {int(truth.sum())} good and {int((~truth).sum())} bad texts), or lower the bound"
        )
    model = _fit(config, features, good)
    output.mkdir(parents=True, exist_ok=True)
    weights = {"weight": model.coef_[0].astype(np.float32), "bias": model.intercept_.astype(np.float32)}
    save_file(weights, output / WEIGHTS)
    measured = {
        "auc": round(auc, 6),
        "accuracy": round(accuracy, 6),
        "positives": float(truth.sum()),
        "negatives": float((~truth).sum()),
        "pieces": float(len(chunked)),
    }
    card = {"format": 1, "config": config.model_dump(mode="json"), "metrics": measured}
    (output / CARD).write_text(json.dumps(card, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    return measured


def _examples(config: ClassifierConfig, files: ObservedFiles) -> tuple[list[str], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return all chunks, whether each is good, and the number of the text it comes from."""
    chunked: list[str] = []
    good: list[int] = []
    text_of: list[int] = []
    number = 0
    for side, paths in sorted(example_files(config, files.root).items()):
        first = number
        for name, path in paths.items():
            for text in read_texts(f"{side}/{name}", path, files):
                mine = chunks(text, config.chunk, config.chunks)
                chunked += mine
                good += [SIDES.index(side)] * len(mine)
                text_of += [number] * len(mine)
                number += 1
        if number - first < config.folds:
            raise ExampleError(
                f"filter.quality.{side} has {number - first} texts, fewer than folds={config.folds}, so the classifier can't be "
                "measured on unseen ones; give more texts"
            )
    return chunked, np.array(good), np.array(text_of)


def vectorizer(config: ClassifierConfig) -> Any:
    """Return a vectorizer that turns texts into hashed word counts, normalized to length one."""
    from sklearn.feature_extraction.text import HashingVectorizer

    return HashingVectorizer(ngram_range=(1, config.words), n_features=1 << config.features_log2, alternate_sign=False)


def _fit(config: ClassifierConfig, features: Any, good: np.ndarray[Any, Any]) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=config.regularization, solver="liblinear", class_weight="balanced", max_iter=1000).fit(features, good)
