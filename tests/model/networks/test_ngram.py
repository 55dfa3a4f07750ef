"""A network of counted n-grams is a probability, the baseline's own, whether it reads rows, documents or one token after the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from data.shards.ngrams import count_ngrams, kneser_ney
from model.inference.config import SamplingConfig
from model.inference.generation import generate, generate_batch
from model.networks.config import NgramConfig
from model.networks.directory import ModelError, load_model, save_model
from model.networks.ngram import Ngram
from tests.data.shards.slow_kneser_ney import SlowKneserNey
from tests.data.shards.test_ngrams import BOS, ROWS, SEGMENT, VOCABULARY, Segments, packed

CONTEXT = 32
ORDERS = st.integers(2, 6)


def counted(train: list[Segments], order: int) -> Ngram:
    """A network that has counted these rows."""
    network = Ngram(NgramConfig(order=order, context=CONTEXT), VOCABULARY)
    network.fill(count_ngrams(packed(train), vocab_size=VOCABULARY, order=order, beginning=BOS))
    return network


def logits(network: Ngram, tokens: list[int], documents: list[int] | None = None) -> torch.Tensor:
    read = {"tokens": torch.tensor([tokens])} | ({} if documents is None else {"documents": torch.tensor([documents])})
    return network.logits(read)[0]


@settings(max_examples=40, deadline=None)
@given(ROWS, SEGMENT, ORDERS)
def test_every_token_has_the_probability_that_the_paper_gives_it(train: list[Segments], text: list[int], order: int) -> None:
    slow = SlowKneserNey([segment for row in train for segment in row], order=order, vocab_size=VOCABULARY, beginning=BOS)
    found = logits(counted(train, order), text).exp()
    assert found.shape == (len(text), VOCABULARY)
    wanted = [
        [slow.probability(tuple(text[max(0, end - order + 1) : end]), token) for token in range(VOCABULARY)]
        for end in range(1, len(text) + 1)
    ]
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-5)
    np.testing.assert_allclose(found.double().sum(1).numpy(), 1, atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(ROWS, ROWS, ORDERS)
def test_packed_rows_cost_what_the_baseline_says(train: list[Segments], rows: list[Segments], order: int) -> None:
    wanted = kneser_ney(packed(train), packed(rows), vocab_size=VOCABULARY, order=order, beginning=BOS)
    network, found = counted(train, order), []
    for row in rows:
        tokens = [token for segment in row for token in segment]
        documents = [number for number, segment in enumerate(row) for _ in segment]
        nats = -logits(network, tokens, documents).log_softmax(-1)
        found += [float(nats[at, tokens[at + 1]]) for at in range(len(tokens) - 1) if documents[at] == documents[at + 1]]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


@settings(max_examples=30, deadline=None)
@given(ROWS, st.lists(st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=12), min_size=1, max_size=4), ORDERS, st.data())
def test_what_is_written_token_by_token_in_any_company_is_what_is_read_at_once(
    train: list[Segments], texts: list[list[int]], order: int, data: st.DataObject
) -> None:
    network = counted(train, order)
    decoding = network.decoding()
    state = decoding.new_state()
    state.add(len(texts))
    heads = [data.draw(st.integers(1, len(text))) for text in texts]
    width = max(heads)
    padded = torch.tensor([[*text[:head], *[0] * (width - head)] for text, head in zip(texts, heads, strict=True)])
    step = decoding.step(padded, heads, state)
    rows = list(range(len(texts)))
    for row, (text, head) in enumerate(zip(texts, heads, strict=True)):
        assert step[row].equal(logits(network, text)[head - 1])
    gone = data.draw(st.integers(0, len(texts) - 1))
    kept = state.keep(gone)
    state.remove(gone)
    rows[gone] = rows[-1]
    del rows[-1]
    state.restore(kept, kept.length)
    rows = [*rows, gone]
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=5))
    state.select(chosen)
    rows = [rows[place] for place in chosen]
    assert state.lengths == [heads[row] for row in rows]
    after = decoding.step(torch.tensor([[2]] * len(rows)), [1] * len(rows), state)
    for place, row in enumerate(rows):
        assert after[place].equal(logits(network, [*texts[row][: heads[row]], 2])[-1])


def test_a_text_is_continued_as_it_was_read_and_many_prompts_as_each_alone() -> None:
    network = counted([[[BOS, 2, 3, 4, 5, 6, 7, 8]]] * 4, order=3).decoding()
    assert list(generate(network, [BOS, 2], SamplingConfig(max_new_tokens=6))) == [3, 4, 5, 6, 7, 8]
    prompts, three = [[BOS], [BOS, 2, 3], [6], [4, 5]], SamplingConfig(max_new_tokens=3)
    assert generate_batch(network, prompts, 3, batch=2) == [list(generate(network, one, three)) for one in prompts]


def test_tokens_that_it_never_counted_are_named_and_none_of_them_is_drawn_with_their_bias() -> None:
    network = counted([[[BOS, 2, 3, 4, 5, 6]]], order=2).decoding()
    assert set(network.unseen()) == set(range(VOCABULARY)) - {2, 3, 4, 5, 6}
    free = SamplingConfig(temperature=1.0, max_new_tokens=200)
    without = free.model_copy(update={"logit_bias": tuple((token, -100.0) for token in network.unseen())})
    drawn = [set(generate(network, [BOS], sampling, seed=1)) for sampling in (free, without)]
    assert drawn[0] & set(network.unseen()) and not drawn[1] & set(network.unseen())


def test_a_model_that_has_counted_nothing_finds_every_token_as_likely() -> None:
    assert logits(Ngram(NgramConfig(context=CONTEXT), VOCABULARY), [BOS, 2]).exp().allclose(torch.full((2, VOCABULARY), 1 / VOCABULARY))


def test_a_directory_holds_the_counts_as_whole_numbers_and_gives_back_the_same_logits(tmp_path: Path) -> None:
    network = counted([[[BOS, 2, 3, 4, 2, 3, 5]], [[BOS, 3, 4, 5]]], order=4)
    for folder in ("one", "other"):
        save_model(network, tmp_path / folder)
    stored = load_file(tmp_path / "one" / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.int32}
    assert (tmp_path / "one" / "model.safetensors").read_bytes() == (tmp_path / "other" / "model.safetensors").read_bytes()
    back = load_model(tmp_path / "one")
    assert back.config == network.config and logits(back, [BOS, 2, 3, 8]).equal(logits(network, [BOS, 2, 3, 8]))  # type: ignore[arg-type]
    with (tmp_path / "one" / "model.safetensors").open("r+b") as stream:
        stream.write(bytes(100))
    assert logits(back, [BOS, 2]).equal(logits(network, [BOS, 2])), "it keeps a copy"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("table", "number", "named"),
    [("token", VOCABULARY, "token has numbers"), ("starts", 9, "starts does not divide"), ("count", 0, "count has numbers")],
)
def test_tables_that_are_not_those_of_a_count_are_refused_by_name(tmp_path: Path, table: str, number: int, named: str) -> None:
    save_model(counted([[[BOS, 2, 3, 4, 2, 3, 5]]], order=3), tmp_path)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    tensors[f"levels.1.{table}"][-1] = number
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=f"levels.1.{named}"):
        load_model(tmp_path)
