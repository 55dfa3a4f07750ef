"""Prefix language modelling against a computation in plain Python, and what its tokens see."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.layers.attention_plan import AttentionInputs
from model.objectives.prefix import PrefixLm
from model.objectives.protocol import IGNORED
from tests.model.networks.decoders import VOCABULARY, small_config, spread_decoder

CONTEXT, CUT = 24, 9
DECODER = small_config(prompt="bidirectional")


def rows(count: int, width: int = CONTEXT, cut: int = CUT) -> dict[str, NDArray[Any]]:
    """Rows of two documents, some with padding at their end, which is a document of its own."""
    random = np.random.default_rng(1)
    document, loss = np.zeros((count, width + 1), np.uint16), random.random((count, width + 1)) < 0.8
    document[:, cut:], loss[:, cut] = 1, False
    document[::2, width - 3 :], loss[::2, width - 3 :] = 2, False
    return {"tokens": random.integers(1, VOCABULARY, document.shape), "document": document, "loss": loss, "position": np.arange(count)}


def as_tensors(batch: dict[str, NDArray[Any]]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(column) for name, column in batch.items()}


def test_the_loss_is_that_of_each_document_alone_behind_its_prompt_in_plain_python() -> None:
    objective, some, network = PrefixLm(least=0.2, most=0.9, seed=5), rows(4), spread_decoder(DECODER)
    nats, counted = 0.0, 0
    for row in range(4):
        drawn = np.random.Philox(key=np.array([5, row], dtype=np.uint64)).random_raw(3) / 2.0**64
        for document, part in zip((0, 1), drawn.tolist(), strict=False):
            places = [place for place in range(CONTEXT) if some["document"][row, place] == document]
            told = math.floor((0.2 + part * 0.7) * len(places))
            text = torch.from_numpy(some["tokens"][row, places])[None]
            with torch.no_grad():
                logits = network.logits({"tokens": text, "prompt": torch.arange(len(places))[None] < told})[0].double().tolist()
            for number, place in enumerate(places):
                if some["loss"][row, place + 1] and number + 1 >= told:
                    scores, target = logits[number], int(some["tokens"][row, place + 1])
                    nats += math.log(sum(math.exp(score) for score in scores)) - scores[target]
                    counted += 1
    with torch.no_grad():
        sums = objective.sums({"policy": network}, as_tensors(objective.batch(some)))
    assert sums.tolist() == pytest.approx([nats], rel=1e-5) and objective.units(some) == {"tokens": counted}


def test_a_token_sees_its_documents_prompt_and_what_stands_before_it() -> None:
    some, network = rows(3), spread_decoder(DECODER)
    batch = as_tensors(PrefixLm(least=0.3, most=0.8).batch(some))
    seen = network.model.seen(network.model.embed_tokens(batch["tokens"]), batch).plan(None).mask
    assert seen is not None
    for row in range(3):
        documents, prompt = batch["documents"][row].tolist(), batch["prompt"][row].tolist()
        assert any(prompt[:CUT]) and not all(prompt[:CUT]) and prompt[0] and prompt[CUT]
        for query in range(CONTEXT):
            expected = [documents[key] == documents[query] and (key <= query or prompt[key]) for key in range(CONTEXT)]
            assert seen[row, 0, query].tolist() == expected


def test_changing_a_document_leaves_its_neighbours_bit_equal_and_later_text_changes_nothing_before_it() -> None:
    objective, some, network = PrefixLm(least=0.4, most=0.6), rows(2), spread_decoder(DECODER)
    batch = as_tensors(objective.batch(some))
    told = int(batch["prompt"][1, CUT:].sum()) + CUT
    with torch.no_grad():
        before = network.logits(batch)
        for place, same, other in (
            (2, slice(CUT, None), slice(0, 1)),  # the first document's prompt: its own first token sees it, no neighbour does
            (told - 1, slice(0, CUT), slice(CUT, None)),
            (told, slice(0, told), slice(told, None)),  # behind the prompt: nothing before sees it
        ):
            changed = batch["tokens"].clone()
            changed[1, place] = (changed[1, place] + 1) % VOCABULARY
            after = network.logits({**batch, "tokens": changed})
            assert torch.equal(after[1, same], before[1, same]) and torch.equal(after[0], before[0])
            assert not torch.equal(after[1, other], before[1, other])


def test_prompts_have_the_shares_asked_for_and_follow_from_seed_and_place_alone() -> None:
    some, objective = rows(400, 200, 100), PrefixLm(least=0.25, most=0.75, seed=3)
    shares = objective.prompts(some)[:, :100].mean(axis=1)
    assert 0.25 - 0.01 <= shares.min() < 0.27 and 0.73 < shares.max() <= 0.75 and abs(shares.mean() - 0.5) < 0.02
    assert np.histogram(shares, 4, (0.25, 0.75))[0].min() > 0.2 * len(shares)
    alone = objective.prompts({name: column[7:8] for name, column in some.items()})
    assert np.array_equal(alone[0], objective.prompts(some)[7])
    assert not np.array_equal(objective.prompts({**some, "position": some["position"] + 400}), objective.prompts(some))
    told = objective.batch(some)["targets"] == IGNORED
    assert told[:, :100][objective.prompts(some)[:, 1:101] & (some["document"][:, 1:101] == 0)].all()


def test_an_accelerators_kernel_shows_each_token_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    network = spread_decoder(DECODER)
    batch = as_tensors(PrefixLm(least=0.3, most=0.8).batch(rows(3)))
    inputs = network.model.seen(network.model.embed_tokens(batch["tokens"]), batch)
    expected = inputs.plan(None).mask
    monkeypatch.setattr(AttentionInputs, "_kernel", lambda self, **_: "flex")
    mask_mod = inputs.plan(None).block_mask.mask_mod
    row, query, key = torch.meshgrid(torch.arange(3), torch.arange(CONTEXT), torch.arange(CONTEXT), indexing="ij")
    assert expected is not None and torch.equal(mask_mod(row, torch.zeros_like(row), query, key), expected[:, 0])
