"""The quality classifier: logistic regression over hashed words, and the scores that it gives documents.

The score of a document depends on its text and the classifier alone: the mean over chunks of the size used in training. Runs at about
4 MB/s, on at most `chunks` chunks a document.

Trains the quality classifier: logistic regression over hashed words.

Equal examples and configuration give equal bytes (the solver is single-threaded and its weights are rounded to float32). Weights are stored
as safetensors, the rest as JSON; nothing is unpickled. A classifier that can't tell good from bad on unseen examples is refused, not saved.
All chunks of a text are in the same fold, so the measurement doesn't reward memorization. Costs about 3 MB/s of examples, and a fit for
each fold.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from data.filtering.batch import Batch, Step
from data.filtering.config import ClassifierConfig, QualityConfig
from data.filtering.heuristics import Threshold
from data.filtering.observed_files import SIDES, ExampleError, ObservedFiles, chunks, example_files, read_texts

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
