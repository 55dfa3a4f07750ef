"""Filling rows with tokens: the properties of both ways of packing."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from data.tokens.pack import spread_evenly
from data.tokens.rows import best_fit, cut_stream, fill_rows, stream_rows

documents = st.lists(st.integers(0, 9), min_size=1, max_size=12)


@given(lengths=documents, length=st.integers(2, 7))
def test_every_token_but_the_document_starts_is_a_target_exactly_once(lengths: list[int], length: int) -> None:
    stream = np.concatenate([[1, *range(100 * n, 100 * n + size), 2] for n, size in enumerate(lengths, 1)])
    rows = cut_stream(stream.astype(np.uint16), stream_rows(len(stream), length), length)
    assert rows["tokens"][rows["loss"]].tolist() == [token for token in stream.tolist() if token != 1]
    assert rows["tokens"][:, 1:].reshape(-1)[: len(stream) - 1].tolist() == stream[1:].tolist()
    assert (rows["tokens"][1:, 0] == rows["tokens"][:-1, -1]).all()


@given(lengths=documents, length=st.integers(2, 7))
def test_document_numbers_rise_by_one_at_each_start_and_once_more_at_the_padding(lengths: list[int], length: int) -> None:
    stream = np.concatenate([[1, *([9] * size), 2] for size in lengths]).astype(np.uint16)
    rows = cut_stream(stream, stream_rows(len(stream), length), length)
    for tokens, document in zip(rows["tokens"].tolist(), rows["document"].tolist(), strict=True):
        expected, seen_pad = 0, False
        for place, token in enumerate(tokens):
            expected += place > 0 and (token == 1 or (token == 0 and not seen_pad))
            seen_pad |= token == 0
            assert document[place] == expected


@given(lengths=documents, length=st.integers(2, 7), cut=st.integers(0, 50))
def test_rows_cut_in_two_calls_are_the_rows_cut_in_one(lengths: list[int], length: int, cut: int) -> None:
    stream = np.concatenate([[1, *([9] * size), 2] for size in lengths]).astype(np.uint16)
    count = stream_rows(len(stream), length)
    first = min(cut, count)
    whole = cut_stream(stream, count, length)
    parts = [cut_stream(stream, first, length), cut_stream(stream[first * length :], count - first, length)]
    for name, values in whole.items():
        assert np.array_equal(np.concatenate([part[name] for part in parts]), values)


@given(lengths=st.lists(st.integers(1, 20), max_size=300), width=st.integers(20, 40))
def test_best_fit_assigns_each_sequence_once_and_overfills_no_row(lengths: list[int], width: int) -> None:
    plan = best_fit(lengths, width)
    assert sorted(number for row in plan for number in row) == list(range(len(lengths)))
    assert all(sum(lengths[number] for number in row) <= width for row in plan)


def test_best_fit_of_short_conversations_pads_little() -> None:
    lengths = np.random.default_rng(0).integers(20, 80, 5000).tolist()
    assert sum(lengths) / (len(best_fit(lengths, 257)) * 257) > 0.98


def test_sequences_in_a_row_are_separate_documents_and_padding_is_another() -> None:
    one, two = np.array([1, 8, 6]), np.array([1, 9, 9, 6])
    rows = fill_rows([[(one, one == 8), (two, two == 9)]], 10, np.dtype(np.uint16))
    assert rows["tokens"].tolist() == [[1, 8, 6, 1, 9, 9, 6, 0, 0, 0]]
    assert rows["document"].tolist() == [[0, 0, 0, 1, 1, 1, 1, 2, 2, 2]]
    assert np.flatnonzero(rows["loss"][0]).tolist() == [1, 4, 5]


@given(text=st.integers(0, 200), mixed=st.integers(0, 200))
def test_mixed_rows_are_spread_evenly(text: int, mixed: int) -> None:
    places = spread_evenly(text, mixed)
    assert len(places) == text + mixed
    assert places.sum() == mixed
    gaps = np.diff(np.flatnonzero(places))
    assert gaps.size == 0 or gaps.max() - gaps.min() <= 1
