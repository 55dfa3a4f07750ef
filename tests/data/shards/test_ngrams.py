"""The n-gram model is that of the paper, is a probability, and sees no more than a model sees."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.shards.ngrams import Targets, kneser_ney, row_sums, targets_of
from tests.data.shards.slow_kneser_ney import SlowKneserNey

BOS, VOCABULARY = 1, 9
Segments = list[list[int]]
WORD = st.integers(2, VOCABULARY - 1)
# A document, or a part of one that begins a row in its middle.
SEGMENT = st.builds(lambda head, rest: [head, *rest], st.integers(1, VOCABULARY - 1), st.lists(WORD, min_size=1, max_size=12))
ROWS = st.lists(st.lists(SEGMENT, min_size=1, max_size=3), min_size=1, max_size=6)


def packed(rows: list[Segments]) -> Targets:
    """Rows with these segments, padded; only the first of a row may begin with another token than BOS."""
    width = max(sum(map(len, row)) for row in rows) + 1
    tokens, document, loss = np.zeros((len(rows), width), int), np.zeros((len(rows), width), int), np.zeros((len(rows), width), bool)
    for number, row in enumerate(rows):
        start = 0
        for ordinal, segment in enumerate(row):
            tokens[number, start : start + len(segment)] = segment
            document[number, start : start + len(segment)] = ordinal
            loss[number, start + 1 : start + len(segment)] = True
            start += len(segment)
        document[number, start:] = len(row)
    return targets_of(tokens, document, loss)


def nats(train: list[Segments], scored: list[Segments], order: int) -> np.ndarray:
    return kneser_ney(packed(train), packed(scored), vocab_size=VOCABULARY, order=order, beginning=BOS)


@settings(max_examples=60, deadline=None)
@given(ROWS, ROWS, st.integers(1, 6))
def test_every_target_costs_what_the_paper_says(train: list[Segments], scored: list[Segments], order: int) -> None:
    segments = [segment for row in train for segment in row]
    slow = SlowKneserNey(segments, order=order, vocab_size=VOCABULARY, beginning=BOS)
    wanted = [cost for row in scored for segment in row for cost in slow.nats(segment)]
    np.testing.assert_allclose(nats(train, scored, order), wanted, rtol=0, atol=1e-9)


def test_a_larger_text_with_discounts_from_its_own_counts_costs_what_the_paper_says() -> None:
    chance = np.random.default_rng(3)
    weights = 1 / np.arange(1, 8)
    documents = [[BOS, *(2 + chance.choice(7, 40, p=weights / weights.sum())).tolist()] for _ in range(40)]
    slow = SlowKneserNey(documents[:30], order=4, vocab_size=VOCABULARY, beginning=BOS)
    assert any(discounts != (0.5, 1.0, 1.5) for discounts in slow.discounts)
    wanted = [cost for document in documents[30:] for cost in slow.nats(document)]
    found = nats([[document] for document in documents[:30]], [[document] for document in documents[30:]], 4)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(ROWS, SEGMENT, st.integers(1, 5))
def test_after_any_context_the_probabilities_of_all_tokens_sum_to_one(train: list[Segments], context: list[int], order: int) -> None:
    ends = nats(train, [[[*context, token]] for token in range(VOCABULARY)], order).reshape(VOCABULARY, -1)[:, -1]
    assert np.exp(-ends).sum() == pytest.approx(1, abs=1e-12)


def test_a_document_is_predicted_without_the_one_before_it_in_the_row() -> None:
    train = [[[BOS, 2, 3, 4, 2, 3, 5]], [[BOS, 3, 4, 5]]]
    alone = nats(train, [[[BOS, 4, 2, 3]]], 3)
    behind = nats(train, [[[BOS, 2, 3], [BOS, 4, 2, 3]]], 3)
    np.testing.assert_allclose(behind[2:], alone, rtol=0, atol=0)


def test_rows_are_summed_one_by_one_and_an_empty_one_is_zero() -> None:
    targets = packed([[[BOS, 2, 3]], [[BOS]], [[BOS, 4]]])
    sums, counts = row_sums(targets, np.array([1.0, 2.0, 4.0]))
    assert sums.tolist() == [3.0, 0.0, 4.0]
    assert counts.tolist() == [2.0, 0.0, 1.0]


def test_a_text_without_targets_is_refused() -> None:
    with pytest.raises(ValueError, match="no n-gram can be counted"):
        nats([[[BOS]]], [[[BOS, 2]]], 2)
