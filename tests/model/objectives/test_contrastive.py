"""Contrastive learning against a computation in plain Python, however the rows of a step are divided."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.inference.embed import WholeTexts, embed
from model.networks.config import EncoderConfig, HybridConfig, RecurrentConfig
from model.networks.network import Network
from model.objectives.contrastive import VECTORS, Contrastive
from tests.model.networks.decoders import VOCABULARY, small_config

CONTEXT, BEGIN, ROWS = 24, 1, 8
SIZES: dict[str, Any] = {"width": 32, "layers": 2, "context": CONTEXT, "initial_std": 0.2}
NETWORKS = {
    "encoder": EncoderConfig(**SIZES, heads=4, feed_forward=48),
    "decoder": small_config(context=CONTEXT),
    "recurrent": RecurrentConfig(**SIZES),
    "hybrid": HybridConfig.model_validate({**SIZES, "heads": 4, "kv_heads": 2, "feed_forward": 48, "mixers": [{"kind": "rnn"}]}),
}
OBJECTIVE = Contrastive((8, 32), group=ROWS, slots=ROWS + 2, temperature=0.3, hardness=0.7, least_tokens=3, seed=4)


def rows(count: int = ROWS) -> dict[str, NDArray[Any]]:
    """Rows of two documents, the first of which is the longer one in even rows; the last row holds none that is long enough."""
    random = np.random.default_rng(1)
    document, loss = np.zeros((count, CONTEXT + 1), np.uint16), np.ones((count, CONTEXT + 1), np.bool_)
    document[::2, 15:], document[1::2, 9:] = 1, 1
    document[-1] = np.arange(CONTEXT + 1)
    loss[0, 15:] = False
    tokens = random.integers(2, VOCABULARY, document.shape)
    tokens[1, 9] = BEGIN
    numbers = np.arange(count)
    return {
        "tokens": tokens,
        "document": document,
        "loss": loss,
        "position": numbers + 40,
        "slot": numbers,
        "begins": np.full(count, BEGIN),
    }


def in_parts(objective: Contrastive, network: Network, some: dict[str, NDArray[Any]], size: int) -> Tensor:
    """Return the sums of rows in micro-batches of a size, as the trainer adds them, with their gradients in the network."""
    network.zero_grad()
    parts = [{name: column[at : at + size] for name, column in some.items()} for at in range(0, len(some["slot"]), size)]
    batches = [{name: torch.from_numpy(column) for name, column in objective.batch(part).items()} for part in parts]
    with torch.no_grad():
        told = torch.stack([objective.survey({"policy": network}, batch) for batch in batches]).sum(0)[0]
    sums = [objective.sums({"policy": network}, {**batch, VECTORS: told}) for batch in batches]
    for one in sums:
        one[0].backward()  # type: ignore[no-untyped-call]
    return torch.stack(sums).sum(0).detach()


def plain_sums(network: Network, some: dict[str, NDArray[Any]], objective: Contrastive) -> tuple[float, int, int]:
    """Return the loss, how many halves are found, and the passages, from texts that are read one by one."""
    pairs = []
    for row in range(len(some["slot"])):
        if (span := objective.passage(some, row)) is not None:
            halves = [[BEGIN, *some["tokens"][row, begin:end].tolist()] for begin, end in pairwise(span)]
            with torch.no_grad():
                pairs.append([network({"tokens": torch.tensor([half])})[0, 1:].double().mean(0).tolist() for half in halves])
    total, found = 0.0, 0

    def cosine(one: list[float], other: list[float]) -> float:
        product = sum(left * right for left, right in zip(one, other, strict=True))
        return product / math.sqrt(sum(x * x for x in one) * sum(x * x for x in other))

    for size in objective.sizes:
        scores = [[cosine(one[0][:size], other[1][:size]) / objective.temperature for other in pairs] for one in pairs]
        for table in (scores, [list(column) for column in zip(*scores, strict=True)]):
            for number, line in enumerate(table):
                others = [score for place, score in enumerate(line) if place != number]
                weights = [math.exp(objective.hardness * score) for score in others]
                mean = sum(weights) / len(weights)
                rest = sum(weight / mean * math.exp(score) for weight, score in zip(weights, others, strict=True))
                total -= math.log(math.exp(line[number]) / (math.exp(line[number]) + rest)) / (2 * len(objective.sizes))
        if size == max(objective.sizes):
            found = sum(max(range(len(line)), key=line.__getitem__) == number for number, line in enumerate(scores))
    return total, found, len(pairs)


@pytest.mark.parametrize("kind", NETWORKS)
def test_loss_and_gradients_are_those_of_plain_python_however_a_step_is_divided(kind: str) -> None:
    network, some = NETWORKS[kind].build(VOCABULARY, seed=2), rows()
    loss, found, passages = plain_sums(network, some, OBJECTIVE)
    assert OBJECTIVE.units(some) == {"passages": passages} == {"passages": ROWS - 1}
    whole = in_parts(OBJECTIVE, network, some, ROWS)
    assert whole.tolist() == pytest.approx([loss, found], rel=1e-4)
    gradients = {name: parameter.grad.clone() for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert sum(float(gradient.abs().sum()) for gradient in gradients.values()) > 1
    for size in (1, 2, 4):
        torch.testing.assert_close(in_parts(OBJECTIVE, network, some, size), whole, atol=1e-4, rtol=1e-5)
        for name, parameter in network.named_parameters():
            if name in gradients:
                torch.testing.assert_close(parameter.grad, gradients[name], atol=2e-5, rtol=1e-4)


def test_the_gradient_is_that_of_the_loss_of_all_vectors_at_once() -> None:
    network, some = NETWORKS["encoder"].build(VOCABULARY, seed=2), rows()
    in_parts(OBJECTIVE, network, some, 2)
    divided = {name: parameter.grad.clone() for name, parameter in network.named_parameters() if parameter.grad is not None}
    network.zero_grad()
    batch = {name: torch.from_numpy(column) for name, column in OBJECTIVE.batch(some).items()}
    told = OBJECTIVE.survey({"policy": network}, batch)[0]
    OBJECTIVE.losses(told[..., :-1], told[:, 0, -1] > 0.5)[0].sum().backward()  # type: ignore[no-untyped-call]
    for name, parameter in network.named_parameters():
        if name in divided:
            torch.testing.assert_close(parameter.grad, divided[name], atol=2e-5, rtol=1e-4)


def test_the_order_of_rows_changes_nothing_and_other_groups_are_not_compared() -> None:
    network, some = NETWORKS["encoder"].build(VOCABULARY, seed=2), rows()
    turned = {name: column[::-1].copy() for name, column in some.items()}
    turned["slot"] = some["slot"]
    torch.testing.assert_close(in_parts(OBJECTIVE, network, turned, 4), in_parts(OBJECTIVE, network, some, 4), atol=1e-4, rtol=1e-5)
    halves = [{name: column[part] for name, column in some.items()} for part in (slice(0, 4), slice(4, 8))]
    apart = sum(in_parts(OBJECTIVE, network, half, 4) for half in halves)
    torch.testing.assert_close(in_parts(replace(OBJECTIVE, group=4), network, some, 4), apart, atol=1e-4, rtol=1e-5)


def test_vectors_are_those_that_texts_are_later_given() -> None:
    network, some = NETWORKS["encoder"].build(VOCABULARY, seed=2).eval(), rows()
    batch = {name: torch.from_numpy(column) for name, column in OBJECTIVE.batch(some).items()}
    with torch.no_grad():
        own = OBJECTIVE.survey({"policy": network}, batch)[0, :, :, :-1]
    for row in range(ROWS - 1):
        span = OBJECTIVE.passage(some, row)
        assert span is not None
        texts = [[BEGIN, *some["tokens"][row, begin:end].tolist()] for begin, end in pairwise(span)]
        expected = torch.tensor(embed(WholeTexts(network), texts, BEGIN))
        torch.testing.assert_close(torch.nn.functional.normalize(own[row], dim=1), expected, atol=1e-5, rtol=1e-5)


def test_passages_are_the_longest_documents_cut_where_seed_and_place_say() -> None:
    some = rows()
    spans = [OBJECTIVE.passage(some, row) for row in range(ROWS - 1)]
    assert [(span[0], span[2]) for span in spans if span] == [(0, 15), (10, 25), *[(0, 15), (9, 25)] * 2, (0, 15)]
    cuts = {seed: [replace(OBJECTIVE, seed=seed).passage(some, 1) for _ in range(2)] for seed in range(40)}
    assert all(one == other for one, other in cuts.values()), "the same each time"
    places = {one[1] for one, _ in cuts.values() if one}
    assert min(places) == 13 and max(places) == 22, "both halves have a quarter of it and 3 tokens at least"
