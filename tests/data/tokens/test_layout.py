"""Documents in rows, cut or packed by best fit: every token once, documents that fit are whole, and there is little padding."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.tokens.layout import BestFit, TextLayout, make_layout
from data.tokens.stream import Stream

METHODS = ("cut", "best_fit")
documents = st.lists(st.integers(2, 40), max_size=30)
methods, lengths_of_rows = st.sampled_from(METHODS), st.integers(2, 19)


def stream_of(lengths: Sequence[int], sources: str = "ab") -> Stream:
    """Return documents of these lengths in which every inner token is unique, stored in reverse order."""
    counts = np.array(lengths, dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]) if len(counts) else np.empty(0, np.int64)
    parts = [np.array([1, *range(100 + int(start), 100 + int(start) + size - 2), 2]) for start, size in zip(starts, lengths, strict=True)]
    file = np.concatenate([*parts[::-1], np.empty(0, np.int64)]).astype(np.uint16)
    origins = counts.sum() - np.cumsum(counts)
    names = [str(number) for number in range(len(counts))]
    return Stream(names, [sources[number % len(sources)] for number in range(len(counts))], counts, counts, origins, file)


def all_rows(layout: TextLayout) -> dict[str, np.ndarray]:
    return layout.build_rows(0, layout.rows)[0]


@given(lengths=documents, length=lengths_of_rows, method=methods)
def test_every_token_but_the_document_starts_is_a_target_exactly_once(lengths: list[int], length: int, method: str) -> None:
    stream = stream_of(lengths)
    layout = make_layout(stream, method, length)
    rows = all_rows(layout)
    counted = rows["tokens"][rows["loss"]]
    wanted = stream.file[stream.file != 1]
    assert sorted(counted.tolist()) == sorted(wanted.tolist())
    # The token before a target in its row is the one before it in the document.
    before = {int(b): int(a) for a, b in zip(stream.file, stream.file[1:], strict=False) if b >= 100}
    for row, place in zip(*np.nonzero(rows["loss"]), strict=True):
        token = int(rows["tokens"][row, place])
        assert token < 100 or before[token] == rows["tokens"][row, place - 1]
        assert rows["document"][row, place] == rows["document"][row, place - 1]


@given(lengths=documents, length=lengths_of_rows)
def test_a_document_that_fits_a_row_is_never_cut_and_documents_are_numbered(lengths: list[int], length: int) -> None:
    layout = BestFit(stream_of(lengths), length)
    rows = all_rows(layout)
    assert not layout.separated[np.array(lengths, dtype=np.int64) <= length + 1].any()
    for tokens, ordinals in zip(rows["tokens"], rows["document"], strict=True):
        assert ordinals[0] == 0 and set(np.diff(ordinals.astype(int)).tolist()) <= {0, 1}
        for ordinal in range(int(ordinals[-1]) + 1):
            part = tokens[ordinals == ordinal]
            whole = part[0] == 1 and part[-1] == 2
            padding = not part.any()
            longer = part[0] != 1 or len(part) == length + 1
            assert whole or padding or longer


@given(lengths=documents, length=lengths_of_rows, method=methods, cuts=st.lists(st.integers(0, 80), max_size=3))
def test_rows_built_a_few_at_a_time_equal_those_built_at_once(lengths: list[int], length: int, method: str, cuts: list[int]) -> None:
    layout = make_layout(stream_of(lengths), method, length)
    whole, shared = layout.build_rows(0, layout.rows)
    bounds = sorted({0, layout.rows, *(cut for cut in cuts if cut < layout.rows)})
    parts = [layout.build_rows(first, last - first) for first, last in pairwise(bounds)]
    assert sum(again for _, again in parts) == shared == layout.repeated.sum()
    for name, values in whole.items():
        assert np.array_equal(np.concatenate([part[name] for part, _ in parts]) if parts else values, values)


@given(lengths=documents, length=lengths_of_rows, method=methods)
def test_the_counts_of_each_document_match_its_rows(lengths: list[int], length: int, method: str) -> None:
    stream = stream_of(lengths)
    layout = make_layout(stream, method, length)
    tokens = all_rows(layout)["tokens"]
    assert tokens.size == len(stream) + layout.repeated.sum() + layout.padding.sum()
    for number, (start, size) in enumerate(zip(stream.starts, lengths, strict=False)):
        inside = range(100 + int(start), 100 + int(start) + size - 2)
        held = [row for row in range(layout.rows) if np.isin(tokens[row], inside).any()]
        assert all(layout.first_row[number] <= row <= layout.last_row[number] for row in held)
        begin = [row for row in held if inside[0] in tokens[row] and tokens[row, int(np.flatnonzero(tokens[row] == inside[0])[0]) - 1] == 1]
        if inside and begin and not layout.separated[number]:
            assert set(inside) <= set(tokens[begin[0]].tolist())


SHAPES = {
    "web pages": lambda chance: chance.lognormal(np.log(500), 1.0, 20_000),
    "short pages": lambda chance: chance.lognormal(np.log(200), 1.2, 20_000),
    "messages": lambda chance: chance.exponential(60, 20_000),
    "anything up to 2,000": lambda chance: chance.uniform(2, 2000, 20_000),
    "books": lambda chance: chance.lognormal(np.log(60_000), 0.7, 200),
}


@pytest.mark.parametrize("length", [256, 1024])
@pytest.mark.parametrize("shape", SHAPES)
def test_best_fit_pads_at_most_one_percent(shape: str, length: int) -> None:
    counts = np.maximum(2, SHAPES[shape](np.random.default_rng(0))).astype(np.int64)
    nothing = np.empty(0, np.uint16)
    layout = BestFit(Stream([""] * len(counts), ["s"] * len(counts), counts, counts, np.cumsum(counts) - counts, nothing), length)
    assert layout.padding.sum() / (layout.rows * (length + 1)) <= 0.01
