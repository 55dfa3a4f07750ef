"""A classifier of quality: hashed words, one weight each, a probability out.

Guarantees: equal examples and configuration give equal bytes (the solver is single-threaded and its weights are rounded to float32);
weights lie in safetensors, the rest in JSON, nothing is unpickled. A classifier that can't tell good from bad on examples it hasn't seen
is refused, not saved. All pieces of a text are on one side of every division, so what is measured is not what was learned by heart.
Costs: about 3 MB/s of examples, and a fit for each fold.
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
    """The classifier can't tell good from bad; the message says how well it does."""


def train(config: ClassifierConfig, lists: ObservedFiles, output: Path) -> dict[str, float]:
    """Learns from the examples and writes classifier.safetensors and classifier.json into `output`.

    Returns auc and accuracy on texts it hadn't seen (cross-validation), and positives, negatives and pieces. Raises UselessClassifier when
    the AUC is smaller than asked for, and ExampleError for examples that can't be used or are fewer on a side than folds."""
    from safetensors.numpy import save_file
    from sklearn.metrics import accuracy_score, roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold

    cut, good, text_of = _examples(config, lists)
    features = vectorizer(config).transform(cut)
    guesses = np.zeros(len(cut))
    for seen, unseen in StratifiedGroupKFold(config.folds, shuffle=True, random_state=config.seed).split(features, good, text_of):
        guesses[unseen] = _fit(config, features[seen], good[seen]).predict_proba(features[unseen])[:, 1]
    number = int(text_of.max()) + 1
    guess = np.bincount(text_of, guesses, number) / np.bincount(text_of, minlength=number)
    truth = np.bincount(text_of, good, number) > 0
    auc, accuracy = float(roc_auc_score(truth, guess)), float(accuracy_score(truth, guess >= 0.5))
    if auc < config.minimum_auc:
        raise UselessClassifier(
            f"filter.quality: on texts it hasn't seen the classifier has an AUC of {auc:.3f}, less than minimum_auc={config.minimum_auc}; "
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
        "pieces": float(len(cut)),
    }
    card = {"format": 1, "config": config.model_dump(mode="json"), "metrics": measured}
    (output / CARD).write_text(json.dumps(card, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    return measured


def _examples(config: ClassifierConfig, lists: ObservedFiles) -> tuple[list[str], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Pieces, whether each is good, and the number of the text that it is of."""
    cut: list[str] = []
    good: list[int] = []
    text_of: list[int] = []
    number = 0
    for side, files in sorted(example_files(config, lists.root).items()):
        first = number
        for name, path in files.items():
            for text in read_texts(f"{side}/{name}", path, lists):
                mine = chunks(text, config.chunk, config.chunks)
                cut += mine
                good += [SIDES.index(side)] * len(mine)
                text_of += [number] * len(mine)
                number += 1
        if number - first < config.folds:
            raise ExampleError(
                f"filter.quality.{side} has {number - first} texts, fewer than folds={config.folds}, so the classifier couldn't be "
                "measured on unseen ones; give more texts"
            )
    return cut, np.array(good), np.array(text_of)


def vectorizer(config: ClassifierConfig) -> Any:
    """Texts to hashed counts of words, each text of length one."""
    from sklearn.feature_extraction.text import HashingVectorizer

    return HashingVectorizer(ngram_range=(1, config.words), n_features=1 << config.features_log2, alternate_sign=False)


def _fit(config: ClassifierConfig, features: Any, good: np.ndarray[Any, Any]) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=config.regularization, solver="liblinear", class_weight="balanced", max_iter=1000).fit(features, good)
