"""Span corruption against a computation in plain Python, and which spans it hides."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.networks.config import EncoderDecoderConfig
from model.networks.network import Network
from model.objectives.protocol import IGNORED
from model.objectives.spans import SENTINEL, Denoiser, Denoisers, Spans

VOCABULARY, CONTEXT, SENTINELS = 37, 24, 12


def rows(count: int, width: int = CONTEXT, cut: int = 10) -> dict[str, NDArray[Any]]:
    """Rows of two documents, some with padding at their end, which is a document of its own."""
    random = np.random.default_rng(1)
    document, loss = np.zeros((count, width + 1), np.uint16), np.ones((count, width + 1), np.bool_)
    document[:, cut:], loss[:, 0] = 1, False
    document[::2, width - 3 :], loss[::2, width - 3 :] = 2, False
    return {"tokens": random.integers(1, VOCABULARY, document.shape), "document": document, "loss": loss, "position": np.arange(count)}


def restored(read: list[int], written: list[int]) -> list[int]:
    """Put what was written into the gaps of what was read."""
    spans: dict[int, list[int]] = {}
    for token in written:
        if token >= SENTINEL:
            spans[token], last = [], token
        else:
            spans[last].append(token)
    return [part for token in read for part in (spans[token] if token >= SENTINEL else [token])]


def of_document(batch: dict[str, NDArray[Any]], row: int, document: int) -> tuple[list[int], list[int], list[int]]:
    """What is read of a document, what is to be written, and what the decoder reads."""
    wanted = (batch["written_documents"][row] == document) & (batch["targets"][row] != IGNORED)
    read = batch["tokens"][row][batch["documents"][row] == document]
    return read.tolist(), batch["targets"][row][wanted].tolist(), batch["written"][row][wanted].tolist()


def predictions(network: Network, batch: dict[str, NDArray[Any]]) -> Iterator[tuple[list[float], int]]:
    """The logits of every token that is to be written, and which it is; each document of a batch of two a row is read by itself."""
    for row in range(len(batch["tokens"])):
        for document in (0, 1):
            read, written, before = (
                [token - SENTINEL + VOCABULARY if token >= SENTINEL else token for token in one]
                for one in of_document(batch, row, document)
            )
            with torch.no_grad():
                logits = network.logits({"tokens": torch.tensor([read]), "written": torch.tensor([before])})[0].double().tolist()
            yield from zip(logits, written, strict=True)


def test_what_is_read_and_written_together_is_each_document_whole_and_alone() -> None:
    some = rows(12)
    batch = Spans(density=0.4, mean_length=2, seed=3).batch(some)
    for row in range(12):
        counted = some["loss"][row, 1:]
        for document in (0, 1):
            text = some["tokens"][row, 1:][(some["document"][row, 1:] == document) & counted].tolist()
            read, written, before = of_document(batch, row, document)
            assert restored(read, written) == text and read[0] == text[0]
            marks = [token - SENTINEL for token in written if token >= SENTINEL]
            assert marks == [*range(len(marks))] and [token - SENTINEL for token in read if token >= SENTINEL] == marks[:-1]
            assert written[-1] >= SENTINEL and before == [0, *written[:-1]]
    assert set(batch["documents"].ravel().tolist()) <= {0, 1, -1}, "padding is not read"


def test_loss_and_accuracy_are_those_of_a_computation_in_plain_python() -> None:
    objective, some = Spans(density=0.3, mean_length=2, seed=5), rows(4)
    config = EncoderDecoderConfig(
        width=32, layers=2, heads=4, feed_forward=48, context=CONTEXT, sentinels=SENTINELS, initial_std=0.3, relative_buckets=8
    )
    network, batch = config.build(VOCABULARY, seed=2).eval(), objective.batch(some)
    nats, right, written, hidden = 0.0, 0, 0, 0
    for scores, target in predictions(network, batch):
        nats += math.log(sum(math.exp(score) for score in scores)) - scores[target]
        written, hidden = written + 1, hidden + (target < VOCABULARY)
        right += target < VOCABULARY and max(range(len(scores)), key=scores.__getitem__) == target
    with torch.no_grad():
        sums = objective.sums({"policy": network}, {name: torch.from_numpy(column) for name, column in batch.items()})
    assert sums.tolist() == pytest.approx([nats, right], rel=1e-5)
    assert objective.units(some) == {"written": written, "hidden": hidden}


@pytest.mark.parametrize(("density", "mean"), [(0.15, 3.0), (0.5, 8.0), (0.3, 1.0)])
def test_spans_are_as_many_and_as_long_as_asked_and_lie_anywhere(density: float, mean: float) -> None:
    batch = Spans(density=density, mean_length=mean).batch(rows(300, 200, 100))
    targets, read = batch["targets"], batch["tokens"]
    hidden, marks = ((targets >= 0) & (targets < SENTINEL)).sum(), (read >= SENTINEL).sum()
    assert hidden / (hidden + (read > 0).sum() - marks) == pytest.approx(density, abs=0.01)
    assert hidden / marks == pytest.approx(mean, rel=0.05)
    where = np.nonzero(read[:, :40] >= SENTINEL)[1]
    assert np.histogram(where, 4, (0, 40))[0].min() > 0.5 * len(where) / 4, "gaps lie at all places"
    limited = Spans(density=density, mean_length=mean, most_spans=2).batch(rows(4, 200, 100))
    assert limited["targets"].max() == SENTINEL + 2


def test_spans_follow_from_seed_and_place_alone_however_rows_are_divided() -> None:
    some, objective = rows(6), Spans(density=0.3, seed=4)
    whole = objective.batch(some)
    for row in range(6):
        alone = objective.batch({name: column[row : row + 1] for name, column in some.items()})
        for document in (0, 1):
            assert of_document(alone, 0, document) == of_document(whole, row, document)
    later, other = objective.batch({**some, "position": some["position"] + 6}), Spans(density=0.3, seed=5).batch(some)
    assert any(of_document(later, row, 1) != of_document(whole, row, 1) for row in range(6))
    assert any(of_document(other, row, 1) != of_document(whole, row, 1) for row in range(6))


def test_rows_of_padding_or_of_single_tokens_hide_nothing_and_give_no_nan() -> None:
    some = rows(2)
    some["loss"][0] = False
    some["document"][1] = np.arange(CONTEXT + 1)
    network = EncoderDecoderConfig(width=32, layers=1, heads=4, feed_forward=48, context=CONTEXT).build(VOCABULARY, seed=2)
    objective = Spans()
    sums = objective.sums({"policy": network}, {name: torch.from_numpy(column) for name, column in objective.batch(some).items()})
    sums[0].backward()  # type: ignore[no-untyped-call]
    assert objective.units(some) == {"written": 0, "hidden": 0} and sums.tolist() == [0, 0]
    assert all(parameter.grad is None or not parameter.grad.isnan().any() for parameter in network.parameters())


SHORT, END, LONG = Denoiser("R", 0.15, 3.0, 2.0), Denoiser("S", 0.25, 0.0, 1.0), Denoiser("X", 0.5, 8.0, 1.0)


def test_each_document_is_corrupted_in_one_of_the_ways_as_often_as_they_weigh_and_marked_so() -> None:
    some = rows(400, 200, 100)
    batch = Denoisers(seed=4, ways=(SHORT, END, LONG), marks=SENTINELS).batch(some)
    seen: dict[str, list[tuple[float, float]]] = {"R": [], "S": [], "X": []}
    for row in range(400):
        for document in (0, 1):
            text = some["tokens"][row, 1:][(some["document"][row, 1:] == document) & some["loss"][row, 1:]].tolist()
            (mark, *read), written, _ = of_document(batch, row, document)
            assert restored(read, written) == text
            spans, hidden = sum(token >= SENTINEL for token in read), sum(token < SENTINEL for token in written)
            mode = "RSX"[SENTINEL + SENTINELS - 1 - mark]
            seen[mode].append((hidden / len(text), hidden / spans))
            if mode == "S":
                assert read == [*text[: len(text) - hidden], SENTINEL], "all that is hidden stands at the end"
    assert {mode: len(found) / 800 for mode, found in seen.items()} == pytest.approx({"R": 0.5, "S": 0.25, "X": 0.25}, abs=0.05)
    for mode, way in (("R", SHORT), ("S", END), ("X", LONG)):
        shares, lengths = zip(*seen[mode], strict=True)
        assert np.mean(shares) == pytest.approx(way.density, abs=0.01)
        assert mode == "S" or np.mean(lengths) == pytest.approx(way.mean_length, rel=0.1)
    plain = Denoisers(seed=4, ways=(SHORT, END, LONG)).batch(some)
    for row in range(20):
        marked, bare = (of_document(made, row, 0) for made in (batch, plain))
        assert marked[0][1:] == bare[0] and marked[1:] == bare[1:], "marks alone differ"


def test_a_mixture_of_one_regular_way_loses_what_span_corruption_loses_in_plain_python() -> None:
    some, way = rows(4), Denoiser("R", 0.3, 2.0, 1.0)
    network = EncoderDecoderConfig(width=32, layers=2, heads=4, feed_forward=48, context=CONTEXT, sentinels=SENTINELS, initial_std=0.3)
    built, objective = network.build(VOCABULARY, seed=2).eval(), Denoisers(seed=5, ways=(way,), marks=SENTINELS)
    batch = objective.batch(some)
    nats = sum(math.log(sum(map(math.exp, scores))) - scores[target] for scores, target in predictions(built, batch))
    with torch.no_grad():
        sums = objective.sums({"policy": built}, {name: torch.from_numpy(column) for name, column in batch.items()})
    assert sums[0].item() == pytest.approx(nats, rel=1e-5)
