"""Masked language modelling against a computation in plain Python, and which tokens it hides."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.networks.config import EncoderConfig
from model.networks.encoder import Encoder
from model.objectives.masked import KEPT, MASKED, Masked, hide
from model.objectives.protocol import IGNORED

VOCABULARY, CONTEXT = 37, 24


def rows(count: int, first: int = 0) -> dict[str, NDArray[Any]]:
    """Rows at positions from `first` on; two thirds hold two documents, and a fifth of the tokens does not count."""
    random = np.random.default_rng(1)
    shape = (first + count, CONTEXT + 1)
    tokens, document, loss = random.integers(0, VOCABULARY, shape), np.zeros(shape, np.uint16), random.random(shape) < 0.8
    document[:, 10:] = random.random((shape[0], 1)) < 0.66
    columns: dict[str, NDArray[Any]] = {"tokens": tokens, "document": document, "loss": loss, "position": np.arange(shape[0])}
    return {name: column[first:] for name, column in columns.items()}


def encoder() -> Encoder:
    config = EncoderConfig(width=32, layers=2, heads=4, feed_forward=48, context=CONTEXT, initial_std=0.3)
    return Encoder(config, VOCABULARY, seed=2).eval()


def tensors(batch: dict[str, NDArray[Any]]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.ascontiguousarray(column)) for name, column in batch.items()}


def test_loss_and_accuracy_are_those_of_a_computation_in_plain_python() -> None:
    objective, network, some = Masked(share=0.3, seed=5), encoder(), rows(4)
    nats, right, units = 0.0, 0, 0
    for row in range(4):
        counted = [column for column in range(1, CONTEXT + 1) if some["loss"][row, column]]
        draws = [int(draw) for draw in np.random.Philox(key=np.array([5, row], dtype=np.uint64)).random_raw(3 * len(counted))]
        order, fate, drawn = (draws[start : start + len(counted)] for start in (0, len(counted), 2 * len(counted)))
        chosen = sorted(range(len(counted)), key=lambda place: order[place])[: round(0.3 * len(counted))]
        read = [int(token) for token in some["tokens"][row, 1:]]
        for place in chosen:
            part, column = fate[place] / 2**64, counted[place] - 1
            if part < 0.8:
                read[column] = VOCABULARY
            elif part < 0.9:
                read[column] = (drawn[place] >> 1) % VOCABULARY
        with torch.no_grad():
            logits = network.logits(
                {"tokens": torch.tensor([read]), "documents": torch.from_numpy(some["document"][row : row + 1, 1:].astype(np.int64))}
            )
        for place in chosen:
            scores, target = logits[0, counted[place] - 1].double().tolist(), int(some["tokens"][row, counted[place]])
            nats += math.log(sum(math.exp(score) for score in scores)) - scores[target]
            right += max(range(VOCABULARY), key=scores.__getitem__) == target
            units += 1
    with torch.no_grad():
        sums = objective.sums({"policy": network}, tensors(objective.batch(some)))
    assert sums.tolist() == pytest.approx([nats, right], rel=1e-5) and objective.units(some) == {"chosen": units}


def test_what_is_hidden_follows_from_seed_and_position_alone() -> None:
    objective = Masked(seed=3)
    whole = objective.batch(rows(12))
    for first in (0, 5, 11):
        part = objective.batch(rows(12 - first, first))
        assert all((part[name] == whole[name][first:]).all() for name in ("tokens", "targets", "becomes"))
    assert (Masked(seed=4).batch(rows(12))["targets"] != whole["targets"]).any()
    assert (objective.batch({**rows(12), "position": np.arange(12) + 1})["targets"] != whole["targets"]).any()


def test_the_shares_are_those_of_the_settings() -> None:
    objective, many = Masked(share=0.25, masked_share=0.7, random_share=0.2), rows(4000)
    batch, counted = objective.batch(many), np.count_nonzero(many["loss"][:, 1:])
    chosen = batch["targets"] != IGNORED
    assert chosen.sum() == objective.units(many)["chosen"] == pytest.approx(0.25 * counted, rel=0.02)
    assert (batch["tokens"][chosen] == batch["targets"][chosen]).all() and many["loss"][:, 1:][chosen].all()
    fates = Counter("masked" if fate == MASKED else "kept" if fate == KEPT else "random" for fate in batch["becomes"][chosen].tolist())
    assert [fates[name] / chosen.sum() for name in ("masked", "random", "kept")] == pytest.approx([0.7, 0.2, 0.1], abs=0.02)
    assert (batch["becomes"][~chosen] == KEPT).all()
    read = hide(torch.from_numpy(batch["tokens"]), torch.from_numpy(batch["becomes"]), VOCABULARY).numpy()
    assert (read[batch["becomes"] == MASKED] == VOCABULARY).all() and (
        read[batch["becomes"] == KEPT] == batch["tokens"][batch["becomes"] == KEPT]
    ).all()
    frequency = Counter(read[batch["becomes"] >= 0].tolist())
    assert set(frequency) == set(range(VOCABULARY)) and max(frequency.values()) < 2 * min(frequency.values())


def test_a_row_without_counted_tokens_has_no_units_and_one_with_few_has_one() -> None:
    some = rows(3)
    some["loss"][0] = False
    some["loss"][1] = False
    some["loss"][1, 4:6] = True
    batch = Masked().batch(some)
    assert [int((batch["targets"][row] != IGNORED).sum()) for row in range(2)] == [0, 1]
    with torch.no_grad():
        nothing = Masked().sums({"policy": encoder()}, tensors(Masked().batch({name: column[:1] for name, column in some.items()})))
    assert nothing.tolist() == [0.0, 0.0]


def test_rows_of_one_document_need_no_mask_of_documents() -> None:
    some = rows(6)
    some["document"][:] = 0
    assert "documents" not in Masked().batch(some)
    some["document"][:, 5:] = 1
    assert "documents" in Masked().batch(some) and "documents" not in Masked(within_documents=False).batch(some)


def words_of(some: dict[str, NDArray[Any]], row: int) -> list[list[int]]:
    """Runs of columns that count, from 1, each begun by a token that goes on no word."""
    found: list[list[int]] = []
    for column in range(1, CONTEXT + 1):
        if some["loss"][row, column]:
            goes_on = bool(found) and found[-1][-1] == column - 1 and some["continues"][row, column]
            found = [*found[:-1], [*found[-1], column]] if goes_on else [*found, [column]]
    return found


def with_words(count: int, share: float = 0.5) -> dict[str, NDArray[Any]]:
    some = rows(count)
    return {**some, "continues": np.random.default_rng(7).random(some["tokens"].shape) < share}


def test_whole_words_are_chosen_as_a_computation_in_plain_python_chooses_them() -> None:
    objective, some = Masked(share=0.3, seed=5, whole_words=True), with_words(30)
    batch, units = objective.batch(some), 0
    for row in range(30):
        words, counted = words_of(some, row), [column for column in range(1, CONTEXT + 1) if some["loss"][row, column]]
        draws = [int(draw) for draw in np.random.Philox(key=np.array([5, row], dtype=np.uint64)).random_raw(3 * len(counted))]
        left, chosen = max(1, round(0.3 * len(counted))), list[int]()
        for word in sorted(words, key=lambda word: draws[counted.index(word[0])]):
            if not chosen or len(word) <= left:
                chosen, left = [*chosen, *word], left - len(word)
            if left <= 0:
                break
        for column in range(1, CONTEXT + 1):
            fate = batch["becomes"][row, column - 1]
            assert batch["targets"][row, column - 1] == (some["tokens"][row, column] if column in chosen else IGNORED)
            if column in chosen:
                part = draws[len(counted) + counted.index(column)] / 2**64
                drawn = draws[2 * len(counted) + counted.index(column)] >> 1
                assert fate == (MASKED if part < 0.8 else drawn if part < 0.9 else KEPT)
        units += len(chosen)
    assert objective.units(some) == {"chosen": units}


def test_words_are_chosen_whole_as_often_as_is_said_and_each_token_has_a_fate_of_its_own() -> None:
    objective, many = Masked(share=0.3, whole_words=True), with_words(3000, 0.4)
    batch, lengths, taken, mixed = objective.batch(many), Counter[int](), Counter[int](), 0
    for row in range(3000):
        for word in words_of(many, row):
            hidden = batch["targets"][row, np.array(word) - 1] != IGNORED
            assert hidden.all() or not hidden.any()
            lengths[len(word)] += 1
            taken[len(word)] += bool(hidden.all())
            mixed += len(set(np.minimum(batch["becomes"][row, np.array(word) - 1], 0).tolist())) > 1
    chosen, counted = objective.units(many)["chosen"], np.count_nonzero(many["loss"][:, 1:])
    assert chosen == pytest.approx(0.3 * counted, rel=0.05) and mixed > 100
    assert all(taken[length] / lengths[length] == pytest.approx(0.3, abs=0.05) for length in (1, 2))
    fates = Counter(
        "masked" if fate == MASKED else "kept" if fate == KEPT else "random" for fate in batch["becomes"][batch["targets"] != IGNORED]
    )
    assert [fates[name] / chosen for name in ("masked", "random", "kept")] == pytest.approx([0.8, 0.1, 0.1], abs=0.02)


def test_where_no_token_goes_on_a_word_whole_words_are_single_tokens() -> None:
    some = with_words(8, 0.0)
    plain, whole = Masked().batch(some), Masked(whole_words=True).batch(some)
    assert all(np.array_equal(plain[name], whole[name]) for name in plain)
    assert Masked(whole_words=True).units(some) == Masked().units(some)


def test_a_word_longer_than_the_share_is_chosen_alone_and_a_row_of_nothing_has_none() -> None:
    some = with_words(2)
    some["loss"][:] = False
    some["loss"][0, 3:9] = some["continues"][:] = True
    batch = Masked(whole_words=True).batch(some)
    assert np.flatnonzero(batch["targets"][0] != IGNORED).tolist() == list(range(2, 8)) and (batch["targets"][1] == IGNORED).all()
