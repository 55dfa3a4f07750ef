"""How well halves of passages find each other: vectors and shared tokens, on the same passages, against plain Python."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from data.baselines.measure import word_recalls
from data.shards.passages import halved_passages
from data.shards.reader import ShardReader
from model.evaluation.config import EvaluateConfig
from model.evaluation.metrics import unmeasured
from model.evaluation.retrieval import evaluate_retrieval
from model.networks.config import EncoderConfig, NgramConfig
from tests.model.jobs import VOCABULARY, write_shards

WIDTH = 41


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """Rows of two documents, the second of which is a passage of tokens around a number of its own."""
    random, rows = np.random.default_rng(3), 30
    tokens = 8 + (random.integers(0, 14, (rows, WIDTH)) + 3 * np.arange(rows)[:, None]) % 50
    document, loss = np.zeros_like(tokens), np.ones(tokens.shape, np.bool_)
    document[:, 9:], tokens[:, 9] = 1, 1
    document[0], loss[0] = np.arange(WIDTH), True
    columns = {"tokens": tokens.astype(np.uint16), "document": document.astype(np.uint16), "loss": loss}
    return write_shards(tmp_path / "val", "pretrain", columns)


def test_halves_are_those_of_the_longest_documents_without_what_begins_them(split: Path) -> None:
    pairs, rows = halved_passages(ShardReader(split), 100), ShardReader(split).rows(range(30))
    assert len(pairs) == 29, "the first row has no document that is long enough"
    for number, (first, second) in enumerate(pairs, start=1):
        assert first + second == rows["tokens"][number, 10:].tolist() and abs(len(first) - len(second)) <= 1
    assert len(halved_passages(ShardReader(split), 10)) == 9


def test_recall_is_the_share_of_halves_whose_own_is_among_the_nearest(split: Path) -> None:
    network = EncoderConfig(width=32, layers=1, heads=4, feed_forward=48, context=WIDTH, initial_std=0.2).build(VOCABULARY, seed=1).eval()
    measured, pairs = evaluate_retrieval(network, split, most=100), halved_passages(ShardReader(split), 100)
    with torch.no_grad():
        vectors = [[network({"tokens": torch.tensor([[1, *half]])})[0, 1:].mean(0) for half in pair] for pair in pairs]
    for depth in (1, 5, 10):
        found = 0
        for number, (first, own) in enumerate(vectors):
            nearness = torch.cosine_similarity
            others = [nearness(first, other[1], dim=0) for place, other in enumerate(vectors) if place != number]
            found += sum(bool(other >= nearness(first, own, dim=0)) for other in others) < depth
        assert measured[f"recall_at_{depth}"] == pytest.approx(found / len(pairs))
        assert measured[f"recall_at_{depth}_low"] < found / len(pairs) < measured[f"recall_at_{depth}_high"] or found in (0, len(pairs))
    assert measured["passages"] == 29 and measured["recall_at_1"] <= measured["recall_at_5"] <= measured["recall_at_10"]


def test_shared_tokens_are_weighed_as_the_formula_of_bm25_says(split: Path) -> None:
    pairs = halved_passages(ShardReader(split), 100)
    held = [Counter(second) for _, second in pairs]
    mean = sum(counts.total() for counts in held) / len(held)

    def score(query: list[int], counts: Counter[int]) -> float:
        total = 0.0
        for token in query:
            holding = sum(token in other for other in held)
            idf = math.log(1 + (len(held) - holding + 0.5) / (holding + 0.5))
            total += idf * counts[token] / (counts[token] + 1.2 * (0.25 + 0.75 * counts.total() / mean)) if counts[token] else 0.0
        return total

    nearer = []
    for number, (first, _) in enumerate(pairs):
        scores = [score(first, counts) for counts in held]
        nearer.append(sum(other >= scores[number] for place, other in enumerate(scores) if place != number))
    found = word_recalls(pairs)
    assert found == {f"recall_at_{depth}": sum(rank < depth for rank in nearer) / len(pairs) for depth in (1, 5, 10)}
    assert 0.1 < found["recall_at_1"] < 1
    assert word_recalls(pairs[:1]) == {}


def test_what_has_no_vectors_is_refused_by_name() -> None:
    (problem,) = EvaluateConfig(passages=5, splits=("val",)).problems(NgramConfig(), "evaluate.base.")
    assert problem.startswith("evaluate.base.passages needs a network that supports gradients, and kind=ngram does not")
    assert "kind=ngram does not" in unmeasured("val.recall_at_1_low", NgramConfig())
