"""Sampling of the next token."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.inference.config import SamplingConfig
from model.inference.sampling import choose, distribution, uniforms

LOGITS = st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=40).map(torch.tensor)
CONFIGS = st.builds(
    SamplingConfig,
    temperature=st.sampled_from([0.0, 1e-3, 0.3, 1.0, 5.0, 100.0]),
    top_k=st.none() | st.integers(1, 50),
    top_p=st.none() | st.floats(0, 1, exclude_min=True),
)


@settings(max_examples=200, deadline=None)
@given(logits=LOGITS, config=CONFIGS)
def test_the_distribution_keeps_the_likeliest_token_and_obeys_the_filters(logits: torch.Tensor, config: SamplingConfig) -> None:
    left = distribution(logits[None], config)[0]
    assert abs(float(left.sum()) - 1) < 1e-5 and float(left.min()) >= 0
    assert float(left[logits.argmax()]) > 0
    support = int((left > 0).sum())
    if config.temperature == 0:
        assert support == 1
    if config.top_k is not None:
        assert support <= config.top_k
    dropped = logits[left == 0]
    if config.temperature and len(dropped):
        assert float(logits[left > 0].min()) >= float(dropped.max())


@settings(max_examples=100, deadline=None)
@given(logits=LOGITS, p=st.floats(0.01, 1), most=st.none() | st.integers(1, 40))
def test_top_p_keeps_the_shortest_set_of_likeliest_tokens_that_reaches_p(logits: torch.Tensor, p: float, most: int | None) -> None:
    full = logits.double().softmax(0)
    full = torch.where(full >= full.sort(descending=True).values[: most or len(full)][-1], full, 0.0) if most else full
    full = full / full.sum()
    kept = full[distribution(logits[None], SamplingConfig(temperature=1, top_k=most, top_p=p))[0] > 0].sort().values
    if most is None:
        assert float(kept.sum()) >= p - 1e-6
    assert float(kept[1:].sum()) < p + 1e-6


def test_a_nucleus_of_most_of_a_large_vocabulary_is_found_whole() -> None:
    logits_NV = torch.randn(3, 5000, generator=torch.Generator().manual_seed(1)) * torch.tensor([[0.1], [1.0], [5.0]])
    kept_NV = distribution(logits_NV, SamplingConfig(temperature=1, top_p=0.95)) > 0
    for row, logits_V in enumerate(logits_NV.double()):
        sorted_V = logits_V.softmax(0).sort(descending=True).values
        assert int(kept_NV[row].sum()) == int((sorted_V.cumsum(0) - sorted_V < 0.95).sum())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=30), st.integers(1, 30))
def test_of_equal_logits_the_smallest_ids_are_kept(values: list[int], most: int) -> None:
    logits_V = torch.tensor(values, dtype=torch.float32)
    kept_V = distribution(logits_V[None], SamplingConfig(temperature=1, top_k=most))[0] > 0
    first = sorted(range(len(values)), key=lambda token: (-values[token], token))[:most]
    assert kept_V.nonzero()[:, 0].tolist() == sorted(first)


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.lists(st.floats(-30, 30, width=32), min_size=7, max_size=7), min_size=2, max_size=5), config=CONFIGS)
def test_a_row_gets_what_it_gets_alone(rows: list[list[float]], config: SamplingConfig) -> None:
    logits_NV, uniform_N = torch.tensor(rows), uniforms(range(len(rows)), [3] * len(rows))
    tokens, _ = choose(logits_NV, config, uniform_N)
    assert tokens == [choose(logits_NV[row : row + 1], config, uniform_N[row : row + 1])[0][0] for row in range(len(rows))]


@settings(max_examples=100, deadline=None)
@given(logits=LOGITS, config=CONFIGS, uniform=st.floats(0, 1, exclude_max=True) | st.just(1 - 2**-53))
def test_a_token_without_probability_is_never_drawn(logits: torch.Tensor, config: SamplingConfig, uniform: float) -> None:
    (token,), (log_probability,) = choose(logits[None], config, torch.tensor([uniform], dtype=torch.float64))
    probability = float(distribution(logits[None], config)[0, token])
    assert probability > 0 and abs(log_probability - math.log(probability)) < 1e-6


def test_draws_follow_the_probabilities() -> None:
    logits_NV = torch.tensor([0.5, 0.3, 0.2]).log().expand(4000, 3)
    drawn, logs = choose(logits_NV, SamplingConfig(temperature=1), uniforms(range(4000), [0] * 4000))
    torch.testing.assert_close(torch.tensor(drawn).bincount() / 4000, torch.tensor([0.5, 0.3, 0.2]), rtol=0, atol=0.03)
    assert {round(math.exp(log), 5) for log in logs} == {0.5, 0.3, 0.2}


def test_numbers_of_neighbouring_seeds_and_places_are_independent_and_uniform() -> None:
    by_seed, by_place = uniforms(range(20_000), [0] * 20_000), uniforms([7] * 20_000, range(20_000))
    for found in (by_seed, by_place):
        assert float(found.min()) >= 0 and float(found.max()) < 1
        assert abs(float(found.mean()) - 0.5) < 0.01 and abs(float(found.var()) - 1 / 12) < 0.005
        assert abs(float(torch.corrcoef(torch.stack((found[:-1], found[1:])))[0, 1])) < 0.03


@settings(max_examples=50, deadline=None)
@given(logits=LOGITS)
def test_temperature_zero_and_top_one_are_both_greedy(logits: torch.Tensor) -> None:
    half = torch.tensor([0.5], dtype=torch.float64)
    assert choose(logits[None], SamplingConfig(), None) == ([int(logits.argmax())], [0.0])
    (token,), _ = choose(logits[None], SamplingConfig(temperature=1.0, top_k=1), half)
    assert float(logits[token]) == float(logits.max())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=300))
def test_of_equally_likely_tokens_greedy_takes_the_smallest_id(values: list[int]) -> None:
    (token,), _ = choose(torch.tensor([values], dtype=torch.float32), SamplingConfig(), None)
    assert token == values.index(max(values))


@pytest.mark.parametrize("broken", [[float("nan"), 1.0], [float("inf"), 1.0], [-float("inf")] * 2])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_broken_logits_are_refused_in_any_row(broken: list[float], temperature: float) -> None:
    with pytest.raises(ValueError, match="damaged or training diverged"):
        choose(torch.tensor([[0.0, 1.0], broken]), SamplingConfig(temperature=temperature), torch.zeros(2, dtype=torch.float64))
