"""Generation, one prompt at a time and in batches."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.inference.config import SamplingConfig
from model.inference.generation import generate, generate_batch, sample_batch
from model.networks.decoder import Decoder

GREEDY = SamplingConfig(max_new_tokens=12)


def slow_greedy(decoder: Decoder, prompt: list[int], count: int, stops: set[int]) -> list[int]:
    """Greedy generation by its definition: one forward pass over the whole text for each token."""
    made: list[int] = []
    for _ in range(min(count, decoder.config.context - len(prompt))):
        with torch.no_grad():
            token = int(decoder.logits({"tokens": torch.tensor([prompt + made])})[0, -1].argmax())
        if token in stops:
            break
        made.append(token)
    return made


@settings(max_examples=6, deadline=None)
@given(
    prompts=st.lists(st.lists(st.integers(0, 319), min_size=1, max_size=60), min_size=1, max_size=8),
    stops=st.sets(st.integers(0, 319), max_size=40),
    batch=st.integers(1, 9),
)
def test_greedy_text_matches_its_definition_one_by_one_and_in_batches_of_unequal_length(
    decoder: Decoder, prompts: list[list[int]], stops: set[int], batch: int
) -> None:
    prompts = [[token % decoder.vocab_size for token in prompt] for prompt in prompts]
    expected = [slow_greedy(decoder, prompt, 12, stops) for prompt in prompts]
    assert [list(generate(decoder.decoding(), prompt, GREEDY, stops)) for prompt in prompts] == expected
    assert generate_batch(decoder.decoding(), prompts, 12, stops, batch) == expected


def test_a_stop_token_ends_the_text_and_is_not_part_of_it(decoder: Decoder) -> None:
    text = list(generate(decoder.decoding(), [5, 9], GREEDY))
    stop = text[4]
    assert list(generate(decoder.decoding(), [5, 9], GREEDY, [stop])) == text[: text.index(stop)]


def test_generation_ends_where_the_context_is_full(decoder: Decoder) -> None:
    prompt = list(range(decoder.config.context - 3))
    assert len(list(generate(decoder.decoding(), prompt, SamplingConfig(max_new_tokens=99)))) == 3
    assert len(generate_batch(decoder.decoding(), [prompt, [1]], 99)[0]) == 3


@pytest.mark.parametrize("length", [0, 64, 65])
def test_an_empty_prompt_and_one_that_fills_the_context_are_refused_before_any_work(decoder: Decoder, length: int) -> None:
    with pytest.raises(ValueError, match="context is 64 tokens"):
        generate(decoder.decoding(), [1] * length, GREEDY)
    with pytest.raises(ValueError, match="context is 64 tokens"):
        generate_batch(decoder.decoding(), [[1] * length], 4)


def test_a_batch_of_no_rows_is_refused(decoder: Decoder) -> None:
    with pytest.raises(ValueError, match="batch=0: no text could be written"):
        generate_batch(decoder.decoding(), [[1]], 4, batch=0)


def test_a_seed_gives_the_same_text_again_and_another_seed_another(decoder: Decoder) -> None:
    warm = SamplingConfig(temperature=1.5, top_k=50, top_p=0.95, max_new_tokens=30)
    texts = [list(generate(decoder.decoding(), [3, 4], warm, seed=seed)) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_a_paused_generator_leaves_gradients_enabled(decoder: Decoder) -> None:
    stream = generate(decoder.decoding(), [3, 4], GREEDY)
    next(stream)
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    stream.close()


def test_a_model_can_be_trained_after_it_has_generated(decoder: Decoder) -> None:
    list(generate(decoder.decoding(), [3, 4], GREEDY))
    torch.autograd.backward(decoder.logits({"tokens": torch.tensor([[3, 4]])}).sum())
    decoder.zero_grad(set_to_none=True)


def test_the_global_random_state_is_left_alone(decoder: Decoder) -> None:
    before = torch.get_rng_state()
    list(generate(decoder.decoding(), [3, 4], SamplingConfig(temperature=1, max_new_tokens=5), seed=3))
    assert torch.get_rng_state().equal(before)


WARM = SamplingConfig(temperature=0.8, max_new_tokens=12)


@settings(max_examples=5, deadline=None)
@given(
    prompts=st.lists(st.lists(st.integers(0, 319), min_size=1, max_size=60), min_size=1, max_size=8),
    stops=st.sets(st.integers(0, 319), max_size=40),
    batch=st.integers(1, 9),
)
def test_a_sampled_text_depends_on_its_own_prompt_and_seed_whatever_it_is_sampled_with(
    decoder: Decoder, prompts: list[list[int]], stops: set[int], batch: int
) -> None:
    prompts = [[token % decoder.vocab_size for token in prompt] for prompt in prompts]
    seeds = [7 * number + 1 for number in range(len(prompts))]
    found = sample_batch(decoder.decoding(), prompts, seeds, WARM, stops, batch)
    alone = [list(generate(decoder.decoding(), prompt, WARM, stops, seed)) for prompt, seed in zip(prompts, seeds, strict=True)]
    assert [one.tokens[:-1] if one.ended else one.tokens for one in found] == alone
    assert all(one.ended == (one.tokens[-1] in stops) for one in found)


def test_the_log_probabilities_of_sampled_tokens_are_those_of_a_forward_pass_over_the_text(decoder: Decoder) -> None:
    (one,) = sample_batch(decoder.decoding(), [[3, 4]], [5], WARM)
    with torch.no_grad():
        logits_TV = decoder.logits({"tokens": torch.tensor([[3, 4, *one.tokens]])})[0, 1:-1]
    expected = (logits_TV.double() / WARM.temperature).log_softmax(-1).gather(1, torch.tensor(one.tokens)[:, None])[:, 0]
    torch.testing.assert_close(torch.tensor(one.log_probabilities, dtype=torch.float64), expected, atol=1e-5, rtol=0)


def test_a_stop_token_is_part_of_a_sampled_text_since_it_was_drawn_too(decoder: Decoder) -> None:
    (whole,) = sample_batch(decoder.decoding(), [[3, 4]], [5], WARM)
    stop = whole.tokens[4]
    (ended,) = sample_batch(decoder.decoding(), [[3, 4]], [5], WARM, {stop})
    assert ended.ended and ended.tokens == whole.tokens[: whole.tokens.index(stop) + 1]
    assert len(ended.log_probabilities) == len(ended.tokens) and not whole.ended


def test_tokens_are_drawn_as_often_as_their_probability_says(decoder: Decoder) -> None:
    config = SamplingConfig(temperature=1.0, max_new_tokens=1)
    drawn = sample_batch(decoder.decoding(), [[3, 4]] * 4000, list(range(4000)), config, batch=4000)
    with torch.no_grad():
        probabilities_V = decoder.logits({"tokens": torch.tensor([[3, 4]])})[0, -1].double().softmax(0)
    likeliest = int(probabilities_V.argmax())
    share, expected = sum(one.tokens == [likeliest] for one in drawn) / 4000, float(probabilities_V[likeliest])
    assert abs(share - expected) < 4 * (expected * (1 - expected) / 4000) ** 0.5
