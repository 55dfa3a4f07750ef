"""Networks as they write: whatever their layers, logits and texts are those of whole forward passes."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from model.inference.batch import Batch
from model.inference.config import SamplingConfig
from model.inference.generation import generate, generate_batch, sample_batch
from model.inference.request import Request
from model.inference.sampling import choose, uniforms
from model.layers.decoding import projection
from model.networks.config import HybridConfig, RecurrentConfig
from model.networks.network import Network
from tests.model.networks.decoders import EVERY, VOCABULARY, small_config, spread_decoder, tokens
from tests.model.networks.spread import spread

HYBRIDS: dict[str, list[dict[str, object]]] = {
    "convolution": [{"kind": "convolution", "taps": 4, "dilation": 2}],
    "mamba2": [{"kind": "mamba2", "head_width": 16, "state": 8, "chunk": 5}],
    "gated-delta": [{"kind": "gated_delta", "head_width": 16, "chunk": 5}],
    "rnn-lstm-gru": [{"kind": "rnn"}, {"kind": "lstm"}, {"kind": "gru"}],
    "mixed": [{"kind": "gated_delta", "head_width": 8}, {"kind": "attention"}, {"kind": "mamba2", "head_width": 8, "state": 4}],
}
NAMES = [*EVERY, *HYBRIDS, "recurrent", "recurrent-untied"]
each = pytest.mark.parametrize("name", NAMES)
Packed = Literal["for several vectors", "always"]


@contextmanager
def matrices(held: Packed) -> Iterator[None]:
    """Pack matrices always, as large ones are, or for several vectors alone, as those of small networks are."""
    with pytest.MonkeyPatch.context() as patch:
        if held == "always":
            patch.setattr(projection, "LEAST_ALONE", 0)
        yield


def network_of(name: str) -> Network:
    """Return the network of a name with logits far enough apart to compare; running statistics are not their initial ones."""
    if name in EVERY:
        decoder = spread_decoder(small_config(**EVERY[name]))
        if decoder.config.norm == "batch":
            with torch.no_grad():
                decoder.train().logits({"tokens": tokens(4, 30, seed=9)})
        return decoder.eval()
    if name in HYBRIDS:
        shape = {"width": 32, "layers": 3, "context": 32, "heads": 4, "kv_heads": 2, "feed_forward": 48, "initial_std": 0.2}
        return spread(HybridConfig.model_validate({**shape, "mixers": HYBRIDS[name]}).build(VOCABULARY, seed=3)).eval()
    config = RecurrentConfig(width=32, layers=2, context=32, tied_embeddings=name == "recurrent", initial_std=0.2)
    return spread(config.build(VOCABULARY, seed=3)).eval()


def whole_logits(network: Network, row: list[int]) -> Tensor:
    """Return logits_V after the last token, by a forward pass over all of them."""
    with torch.no_grad():
        return network.logits({"tokens": torch.tensor([row])})[0, -1]


@pytest.mark.parametrize("held", ["for several vectors", "always"])
@each
def test_logits_of_rows_of_any_lengths_that_join_and_leave_equal_those_of_whole_forward_passes(name: str, held: Packed) -> None:
    with matrices(held):
        compare_logits(network_of(name))


def compare_logits(network: Network) -> None:
    """Feed texts of several lengths together, some of which join and leave, and compare the logits after each step."""
    decoding, texts = network.decoding(), [row.tolist() for row in tokens(5, 30)]
    state, rows, read = decoding.new_state(), list[int](), [0] * 5

    def feed(joining: list[int], counts: list[int]) -> None:
        """Feed new tokens to the last rows, padded with other tokens, and compare the logits after them."""
        first, longest = len(rows) - len(joining), max(counts)
        fed = [
            (texts[text][read[text] : read[text] + count] + [3] * longest)[:longest] for text, count in zip(joining, counts, strict=True)
        ]
        found_NV = decoding.step(torch.tensor(fed), counts, state, first)
        for place, (text, count) in enumerate(zip(joining, counts, strict=True)):
            read[text] += count
            torch.testing.assert_close(found_NV[place], whole_logits(network, texts[text][: read[text]]), atol=3e-5, rtol=1e-5)

    for joining, counts in (([0, 1, 2], [7, 2, 11]), ([3, 4], [1, 16])):
        state.add(len(joining))
        rows += joining
        feed(joining, counts)
        for _ in range(4):
            feed(rows, [1] * len(rows))
    state.remove(1)
    rows[1] = rows.pop()
    assert state.lengths == [read[text] for text in rows]
    for counts in ([1] * 4, [3, 1, 2, 1], [1] * 4):
        feed(rows, counts)


Drawn = st.fixed_dictionaries(
    {
        "prompts": st.lists(st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=31), min_size=1, max_size=6),
        "stops": st.frozensets(st.integers(0, VOCABULARY - 1), max_size=8),
        "rows": st.integers(1, 7),
        "held": st.sampled_from(["for several vectors", "always"]),
        "config": st.builds(
            SamplingConfig,
            temperature=st.sampled_from([0.0, 0.5, 1.0]),
            top_k=st.none() | st.integers(1, 70),
            top_p=st.none() | st.floats(0.1, 1.0),
            min_p=st.none() | st.floats(0.0, 1.0),
            repetition_penalty=st.sampled_from([1.0, 1.3]),
            presence_penalty=st.sampled_from([0.0, 0.5]),
            frequency_penalty=st.sampled_from([0.0, -0.25]),
            logit_bias=st.sampled_from([(), ((3, -100.0), (5, 4.0))]),
            max_new_tokens=st.integers(1, 20),
        ),
    }
)


@each
@settings(max_examples=3)
@given(drawn=Drawn)
def test_a_text_is_the_same_alone_in_a_batch_and_by_whole_forward_passes(name: str, drawn: dict[str, Any]) -> None:
    with matrices(drawn["held"]):
        compare_texts(name, **{key: value for key, value in drawn.items() if key != "held"})


@pytest.mark.slow
@each
@settings(max_examples=60)
@given(drawn=Drawn)
def test_sixty_drawn_batches_of_each_network_are_the_texts_of_whole_forward_passes(name: str, drawn: dict[str, Any]) -> None:
    with matrices(drawn["held"]):
        compare_texts(name, **{key: value for key, value in drawn.items() if key != "held"})


def penalized(logits_V: Tensor, prompt: list[int], reply: list[int], config: SamplingConfig) -> Tensor:
    """Return logits after penalties and biases by their definitions, one token after the other."""
    changed = logits_V.tolist()
    for token in {*prompt, *reply}:
        changed[token] *= config.repetition_penalty if changed[token] < 0 else 1 / config.repetition_penalty
    for token in set(reply):
        changed[token] -= config.presence_penalty + config.frequency_penalty * reply.count(token)
    for token, bias in config.logit_bias:
        changed[token] += bias
    return torch.tensor(changed)


def compare_texts(name: str, prompts: list[list[int]], stops: frozenset[int], rows: int, config: SamplingConfig) -> None:
    """Write to each prompt alone, in a batch of at most `rows`, and by one whole forward pass a token; all must agree."""
    network = network_of(name)
    decoding, seeds = network.decoding(), list(range(11, 11 + len(prompts)))
    expected = []
    for prompt, seed in zip(prompts, seeds, strict=True):
        text = list(prompt)
        for place in range(min(config.max_new_tokens, 32 - len(prompt))):
            logits_V = penalized(whole_logits(network, text), prompt, text[len(prompt) :], config)
            (token,), _ = choose(logits_V[None], config, uniforms([seed], [place]))
            text.append(token)
            if token in stops:
                break
        expected.append(text[len(prompt) :])
    alone = [list(generate(decoding, prompt, config, stops, seed)) for prompt, seed in zip(prompts, seeds, strict=True)]
    assert [one.tokens for one in sample_batch(decoding, prompts, seeds, config, stops, rows)] == expected
    assert alone == [text[:-1] if text[-1] in stops else text for text in expected]
    if config.temperature == 0 and not config.adjusts:
        assert generate_batch(decoding, prompts, config.max_new_tokens, stops, rows) == alone


@pytest.mark.parametrize("name", ["multi-head", "sliding-alibi", "learned", "latent", "recurrent"])
def test_a_row_that_is_kept_chosen_or_cut_goes_on_as_whole_forward_passes_do(name: str) -> None:
    network = network_of(name)
    decoding, (one, other) = network.decoding(), [row.tolist() for row in tokens(2, 24)]
    state = decoding.new_state()
    state.add(2)
    logits_NTV = decoding.step_all(torch.tensor([one[:9], other[:9]]), [9, 9], state)
    for row, text in enumerate((one, other)):
        torch.testing.assert_close(logits_NTV[row, 5], whole_logits(network, text[:6]), atol=3e-5, rtol=1e-5)
    kept = state.keep(1)
    state.select([1, 1, 0])
    texts = [other[:9] + one[9:12], other[:12], one[:9] + other[9:12]]
    found_NV = decoding.step(torch.tensor([text[9:] for text in texts]), [3] * 3, state)
    if state.cuts:
        state.cut(1, 7)
        decoding.step(torch.tensor([[5], [6], [7]]), [1] * 3, state)
        assert state.lengths == [13, 8, 13]
    state.restore(kept, 6 if state.cuts else 9)
    after_NV = decoding.step(torch.tensor([other[state.lengths[3] : 16]]), [16 - state.lengths[3]], state, 3)
    for text, logits_V in zip([*texts, other[:16]], [*found_NV, *after_NV], strict=True):
        torch.testing.assert_close(logits_V, whole_logits(network, text), atol=3e-5, rtol=1e-5)


def test_requests_with_settings_of_their_own_share_a_batch() -> None:
    decoding = network_of("multi-head").decoding()
    configs = [SamplingConfig(), SamplingConfig(temperature=1.0), SamplingConfig(temperature=0.5, top_k=3)]
    requests = [Request([5, 6, 7 + number], config, 9, seed=number) for number, config in enumerate(configs)]
    batch, finished = Batch(decoding), []
    finished += batch.join(requests[:2])
    finished += batch.step()
    finished += batch.join(requests[2:])
    while batch.requests:
        finished += batch.step()
    assert batch.step() == []
    assert sorted(map(id, finished)) == sorted(map(id, requests))
    for request in requests:
        assert request.tokens == list(
            generate(decoding, request.prompt, request.config.model_copy(update={"max_new_tokens": 9}), (), request.seed)
        )


def test_a_network_writes_with_the_weights_that_it_had_when_asked() -> None:
    network = network_of("multi-head")
    decoding = network.decoding()
    before = list(generate(decoding, [1, 2, 3], SamplingConfig(max_new_tokens=12)))
    with torch.no_grad():
        for parameter in network.blocks().parameters():
            parameter.mul_(-1)
    assert list(generate(network.decoding(), [1, 2, 3], SamplingConfig(max_new_tokens=12))) != before


@pytest.mark.parametrize("name", ["multi-head", "learned", "sinusoidal", "latent", "sliding-alibi", "capped-relative-sliding", "recurrent"])
@settings(max_examples=6)
@given(drawn=st.randoms(use_true_random=False))
def test_rows_that_join_and_leave_at_any_length_take_no_more_room_than_their_contexts(name: str, drawn: random.Random) -> None:
    network = network_of(name)
    decoding, state, rows = network.decoding(), network.decoding().new_state(), list[list[int]]()
    most = context = network.config.context
    for _ in range(12):
        for gone in range(len(rows) - 1, -1, -1):
            if len(rows[gone]) == context or len(rows) == 4 or drawn.random() < 0.2:
                state.remove(gone)
                rows[gone] = rows[-1]
                rows.pop()
        if not rows or drawn.random() < 0.7:
            state.add(1)
            rows.append([])
        # A whole text joins rows near their end, whose padding reaches beyond the context.
        counts = [1 if row else drawn.randint(1, context) for row in rows]
        fed = [[drawn.randrange(VOCABULARY) for _ in range(max(counts))] for _ in rows]
        found_NV = decoding.step(torch.tensor(fed), counts, state)
        for row, count, new, logits_V in zip(rows, counts, fed, found_NV, strict=True):
            row += new[:count]
            torch.testing.assert_close(logits_V, whole_logits(network, row), atol=3e-5, rtol=1e-5)
        most = max(most, room_of(state))
    assert most == context


def room_of(state: Any) -> int:
    """Return for how many tokens a row has room, in a state that keeps something of each."""
    return int(state.block.shape[2]) - state.before if hasattr(state, "block") else 0


def test_more_tokens_than_the_context_has_room_for_are_refused_in_rows_of_one_length_and_of_several() -> None:
    decoding = network_of("no-positions").decoding()
    state = decoding.new_state()
    state.add(2)
    with pytest.raises(ValueError, match="33 tokens in a row, but the context has room for 32"):
        decoding.step(torch.ones((2, 33), dtype=torch.int64), [33, 33], state)
    decoding.step(torch.ones((2, 20), dtype=torch.int64), [20, 3], state)
    with pytest.raises(ValueError, match="35 tokens in a row, but the context has room for 32"):
        decoding.step(torch.ones((2, 15), dtype=torch.int64), [15, 15], state)
