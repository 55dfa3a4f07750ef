"""A classifier of quality: hashed words, one weight each, a probability out.

Guarantees: equal examples and configuration give equal bytes (the solver is single-threaded and its weights are rounded to float32);
weights lie in safetensors, the rest in JSON, nothing is unpickled. A classifier that can't tell good from bad on examples it hasn't seen
is refused, not saved. All pieces of a text are on one side of every division, so what is measured is not what was learned by heart.
Costs: about 3 MB/s of examples, times `folds`; judging about 4 MB/s.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from data.filtering.config import QualityConfig
from data.filtering.heuristics import Bound
from data.filtering.listed import Listed
from data.filtering.passing import Batch, Step
from data.filtering.quality.config import ClassifierConfig
from data.filtering.quality.examples import SIDES, ExampleError, example_files, pieces, texts

WEIGHTS, CARD = "classifier.safetensors", "classifier.json"


class UselessClassifier(ValueError):
    """The classifier can't tell good from bad; the message says how well it does."""


def train(config: ClassifierConfig, lists: Listed, output: Path) -> dict[str, float]:
    """Learns from the examples and writes classifier.safetensors and classifier.json into `output`.

    Returns auc and accuracy on texts it hadn't seen (cross-validation), and positives, negatives and pieces. Raises UselessClassifier when
    the AUC is smaller than asked for, and ExampleError for examples that can't be used or are fewer on a side than folds."""
    from safetensors.numpy import save_file
    from sklearn.metrics import accuracy_score, roc_auc_score
    from sklearn.model_selection import StratifiedGroupKFold

    cut, good, text_of = _examples(config, lists)
    features = _vectorizer(config).transform(cut)
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


def judge(folder: Path) -> Callable[[list[str]], list[float]]:
    """The classifier of a folder, as a function from texts to probabilities of being good.

    Raises ValueError where the folder's weights don't fit its card."""
    from safetensors.numpy import load_file

    config = ClassifierConfig.model_validate(json.loads((folder / CARD).read_text(encoding="utf-8"))["config"])
    weights = load_file(folder / WEIGHTS)
    if weights["weight"].shape != (1 << config.features_log2,):
        raise ValueError(f"{folder.name}: {WEIGHTS} has {weights['weight'].shape[0]} weights, {CARD} says {1 << config.features_log2}")
    weight, bias, vectorizer = weights["weight"].astype(np.float64), float(weights["bias"][0]), _vectorizer(config)

    def probabilities(given: list[str]) -> list[float]:
        cut = [pieces(text, config.chunk, config.chunks) for text in given]
        if not cut:
            return []
        raw = vectorizer.transform([piece for mine in cut for piece in mine]) @ weight + bias
        good = 1.0 / (1.0 + np.exp(-raw))
        ends = np.cumsum([len(mine) for mine in cut])
        return [float(part.mean()) for part in np.split(good, ends[:-1])]

    return probabilities


def quality(config: QualityConfig, classifier: Path) -> Step:
    """Labels documents with the probability that they are good, and removes those below the threshold."""
    probabilities = judge(classifier)
    bound = Bound("quality", "quality", "<", config.threshold)

    def step(batch: Batch) -> None:
        alive = batch.alive
        for document, probability in zip(alive, probabilities([document.text for document in alive]), strict=True):
            document.label(quality=(rounded := round(probability, 4)))
            if bound.failed(rounded):
                document.remove(bound.rule, bound.detail(rounded))

    return step


def _examples(config: ClassifierConfig, lists: Listed) -> tuple[list[str], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Pieces, whether each is good, and the number of the text that it is of."""
    cut: list[str] = []
    good: list[int] = []
    text_of: list[int] = []
    number = 0
    for side, files in sorted(example_files(config, lists.root).items()):
        first = number
        for name, path in files.items():
            for text in texts(f"{side}/{name}", path, lists):
                mine = pieces(text, config.chunk, config.chunks)
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


def _vectorizer(config: ClassifierConfig) -> Any:
    from sklearn.feature_extraction.text import HashingVectorizer

    return HashingVectorizer(ngram_range=(1, config.words), n_features=1 << config.features_log2, alternate_sign=False)


def _fit(config: ClassifierConfig, features: Any, good: np.ndarray[Any, Any]) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=config.regularization, solver="liblinear", class_weight="balanced", max_iter=1000).fit(features, good)
