"""Decoders that read a prompt in both directions: what they write is that of whole forward passes, however it is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from model.inference.batch import Batch, PrefixCache
from model.inference.config import SamplingConfig
from model.inference.generation import generate_batch
from model.inference.request import Request
from model.inference.speculation import SpeculativeBatch
from model.networks.decoder import Decoder
from model.networks.directory import load_model, save_model
from tests.model.networks.decoders import LATENT, VOCABULARY, small_config, spread_decoder, tokens

SHAPES: dict[str, dict[str, Any]] = {
    "rope": {},
    "learned-bias": {"positions": "learned", "attention_bias": True},
    "latent": LATENT,
    "score-cap": {"attention_soft_cap": 1.5},
    "post-norm": {"norm_place": "post", "norm": "layer"},
    "experts": {"experts": {"count": 4, "active": 2, "shared": 1}},
}
each = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())


def decoder_of(shape: dict[str, Any]) -> Decoder:
    return spread_decoder(small_config(**shape, prompt="bidirectional"))


def whole_logits(network: Decoder, row: list[int], prompt: int) -> Tensor:
    """Return logits_V after the last token of a text that begins with a prompt of so many tokens, by one forward pass."""
    with torch.no_grad():
        return network.logits({"tokens": torch.tensor([row]), "prompt": torch.arange(len(row))[None] < prompt})[0, -1]


def greedy(network: Decoder, prompt: list[int], count: int) -> list[int]:
    text = list(prompt)
    while len(text) < min(len(prompt) + count, network.config.context):
        text.append(int(whole_logits(network, text, len(prompt)).argmax()))
    return text[len(prompt) :]


@each
def test_rows_of_any_lengths_that_join_read_their_prompts_at_once_and_go_on_causally(shape: dict[str, Any]) -> None:
    network = decoder_of(shape)
    decoding, texts = network.decoding(), [row.tolist() for row in tokens(4, 24)]
    state, prompts = decoding.new_state(), [7, 2, 11, 1]
    for joining in ([0, 1, 2], [3]):
        state.add(len(joining))
        fed = [(texts[text][: prompts[text]] + [3] * 11)[:11] for text in joining]
        found_NV = decoding.step(torch.tensor(fed), [prompts[text] for text in joining], state, joining[0])
        for text, logits_V in zip(joining, found_NV, strict=True):
            torch.testing.assert_close(logits_V, whole_logits(network, texts[text][: prompts[text]], prompts[text]), atol=3e-5, rtol=1e-5)
    read = list(prompts)
    for counts in ([1] * 4, [3, 1, 2, 4], [1] * 4):
        fed = [(texts[row][read[row] : read[row] + count] + [3] * 4)[: max(counts)] for row, count in enumerate(counts)]
        found_NV = decoding.step(torch.tensor(fed), counts, state)
        for row, count in enumerate(counts):
            read[row] += count
            expected = whole_logits(network, texts[row][: read[row]], prompts[row])
            torch.testing.assert_close(found_NV[row], expected, atol=3e-5, rtol=1e-5)


@each
@settings(max_examples=4)
@given(
    prompts=st.lists(st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=30), min_size=1, max_size=5), together=st.integers(1, 5)
)
def test_texts_in_a_batch_are_those_of_whole_forward_passes(shape: dict[str, Any], prompts: list[list[int]], together: int) -> None:
    network = decoder_of(shape)
    expected = [greedy(network, prompt, 6) for prompt in prompts]
    assert generate_batch(network.decoding(), prompts, 6, (), together) == expected


def test_a_prompt_that_begins_as_an_earlier_text_is_read_anew_and_drafts_change_nothing() -> None:
    network, draft = decoder_of({}), spread_decoder(small_config(), seed=9).decoding()
    decoding, first = network.decoding(), tokens(1, 18)[0].tolist()
    longer = [*first, *greedy(network, first, 3), 5, 6]
    for batch in (Batch(decoding, PrefixCache(1000)), SpeculativeBatch(decoding, draft, prefixes=PrefixCache(1000))):
        for prompt in (first, longer):
            request = Request(prompt, SamplingConfig(), 6, seed=1)
            batch.join([request])
            while batch.requests:
                batch.step()
            assert request.tokens == greedy(network, prompt, 6) and not request.reused


def test_a_text_that_is_judged_token_by_token_is_read_causally() -> None:
    network, rows = decoder_of({}), tokens(2, 12)
    decoding = network.decoding()
    state = decoding.new_state()
    state.add(2)
    with torch.no_grad():
        expected = network.logits({"tokens": rows})
    found = decoding.step_all(rows, [12, 1], state)
    torch.testing.assert_close(found[0], expected[0], atol=3e-5, rtol=1e-5)
    torch.testing.assert_close(found[1, 0], expected[1, 0], atol=3e-5, rtol=1e-5)
    assert state.lengths == [12, 1]


def test_its_folder_keeps_how_it_reads_and_no_class_of_transformers_is_claimed(tmp_path: Path) -> None:
    network = decoder_of({})
    save_model(network, tmp_path)
    back = load_model(tmp_path)
    assert back.config == network.config and back.config.hub_form() is None
    assert "prompt=bidirectional" in back.config.hub_refusal() and "prompt=bidirectional" in back.config.prefix_refusal()


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ({"positions": "alibi"}, "positions=alibi with prompt=bidirectional: it looks back alone"),
        ({"positions": "relative"}, "positions=relative with prompt=bidirectional: it looks back alone"),
        ({"pattern": "sliding", "window": 5}, "pattern=sliding with prompt=bidirectional"),
        ({"multi_token": 1}, "multi_token=1 with prompt=bidirectional"),
    ],
)
def test_what_looks_back_alone_is_refused_by_name(shape: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        small_config(**shape, prompt="bidirectional")
