"""Prefixes that are not read again, and tokens that a draft proposes: the texts are those of neither."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.inference.batch import Batch, PrefixCache
from model.inference.config import SamplingConfig
from model.inference.generation import generate
from model.inference.request import Request
from model.inference.speculation import DraftError, SpeculativeBatch
from model.networks.config import RecurrentConfig
from model.networks.decoder import Decoder
from tests.model.conftest import random_decoder

Sampled = st.builds(
    SamplingConfig,
    temperature=st.sampled_from([0.0, 0.3, 1.0]),
    repetition_penalty=st.sampled_from([1.0, 1.2]),
    max_new_tokens=st.integers(1, 16),
)
Prompts = st.lists(st.lists(st.integers(0, 300), min_size=1, max_size=40), min_size=1, max_size=5)


def write_all(batch: Batch, requests: list[Request]) -> None:
    batch.join(requests)
    while batch.requests:
        batch.step()


@settings(max_examples=6, deadline=None)
@given(prompts=Prompts, config=Sampled, ahead=st.integers(1, 6), same=st.booleans())
def test_a_draft_good_or_bad_changes_no_text(
    decoder: Decoder, prompts: list[list[int]], config: SamplingConfig, ahead: int, same: bool
) -> None:
    draft = decoder.decoding() if same else random_decoder(decoder.vocab_size, seed=5).decoding()
    batch = SpeculativeBatch(decoder.decoding(), draft, ahead)
    requests = [
        Request(prompt, config, min(config.max_new_tokens, 64 - len(prompt)), frozenset({7, 9}), n) for n, prompt in enumerate(prompts)
    ]
    write_all(batch, requests)
    for number, request in enumerate(requests):
        text = list(generate(decoder.decoding(), request.prompt, config, {7, 9}, number))
        assert (request.tokens[:-1] if request.ended else request.tokens) == text
    assert batch.accepted <= batch.proposed


def test_a_draft_that_equals_the_model_is_always_right_and_saves_passes(decoder: Decoder) -> None:
    batch = SpeculativeBatch(decoder.decoding(), decoder.decoding(), 4)
    request = Request([3, 4], SamplingConfig(temperature=1.0), 26)
    batch.join([request])
    steps = 0
    while batch.requests:
        batch.step()
        steps += 1
    assert batch.accepted == batch.proposed == 20 and steps == 5


def test_a_network_that_cannot_draft_is_refused_by_name(decoder: Decoder) -> None:
    recurrent = RecurrentConfig(width=32, layers=1, context=64).build(decoder.vocab_size).decoding()
    with pytest.raises(DraftError, match="draft is of kind=recurrent"):
        SpeculativeBatch(decoder.decoding(), recurrent)
    with pytest.raises(DraftError, match="draft has 50 tokens"):
        SpeculativeBatch(decoder.decoding(), random_decoder(50).decoding())


@pytest.mark.parametrize("kind", ["decoder", "recurrent"])
def test_a_conversation_that_goes_on_reads_only_what_is_new(decoder: Decoder, kind: str) -> None:
    network = decoder if kind == "decoder" else RecurrentConfig(width=32, layers=2, context=64, initial_std=0.4).build(300, seed=1).eval()
    prefixes, config = PrefixCache(1000), SamplingConfig(temperature=0.7)
    batch = Batch(network.decoding(), prefixes)
    prompt = list(range(20))
    for turn in range(3):
        request = Request(list(prompt), config, 6, seed=turn)
        write_all(batch, [request])
        assert request.tokens == list(generate(network.decoding(), prompt, config.model_copy(update={"max_new_tokens": 6}), (), turn))
        prompt += [*request.tokens, 40 + turn]
    assert prefixes.reused == 25 + 32


@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_texts_that_begin_alike_are_those_of_prompts_read_whole(decoder: Decoder, data: st.DataObject) -> None:
    prefixes = PrefixCache(data.draw(st.integers(20, 200)))
    batch, start = Batch(decoder.decoding(), prefixes), list(range(30))
    for _ in range(4):
        ends = data.draw(
            st.lists(st.tuples(st.integers(0, 30), st.lists(st.integers(0, 300), min_size=1, max_size=20)), min_size=1, max_size=3)
        )
        requests = [Request([*start[:shared], *end], SamplingConfig(), 5) for shared, end in ends]
        write_all(batch, requests)
        for request in requests:
            assert request.tokens == list(generate(decoder.decoding(), request.prompt, SamplingConfig(max_new_tokens=5)))


def test_the_texts_used_longest_ago_make_room(decoder: Decoder) -> None:
    prefixes = PrefixCache(60)
    batch = Batch(decoder.decoding(), prefixes)
    for first in (0, 100, 200):
        write_all(batch, [Request([first + n for n in range(25)], SamplingConfig(), 1)])
    assert len(prefixes) == 2 and prefixes.find([n for n in range(25)], cuts=True) is None
    assert prefixes.find([200 + n for n in range(25)], cuts=True) is not None
