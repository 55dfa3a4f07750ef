"""Sampling of the next token."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.inference.config import SamplingConfig
from model.inference.sampling import distribution, next_token

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
    left = distribution(logits, config)
    assert abs(float(left.sum()) - 1) < 1e-9 and float(left.min()) >= 0
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
@given(logits=LOGITS, p=st.floats(0.01, 1))
def test_top_p_keeps_the_shortest_set_of_likeliest_tokens_that_reaches_p(logits: torch.Tensor, p: float) -> None:
    full = logits.double().softmax(0)
    kept = full[distribution(logits, SamplingConfig(temperature=1, top_p=p)) > 0].sort().values
    assert float(kept.sum()) >= p - 1e-9
    assert float(kept[1:].sum()) < p + 1e-9


@settings(max_examples=50, deadline=None)
@given(logits=LOGITS, config=CONFIGS, seed=st.integers(0, 2**31))
def test_a_seed_draws_the_same_token_again(logits: torch.Tensor, config: SamplingConfig, seed: int) -> None:
    first, second = (next_token(logits, config, torch.Generator().manual_seed(seed)) for _ in range(2))
    assert first == second


@settings(max_examples=50, deadline=None)
@given(logits=LOGITS)
def test_temperature_zero_and_top_one_are_both_greedy(logits: torch.Tensor) -> None:
    assert next_token(logits, SamplingConfig()) == int(logits.argmax())
    narrow = SamplingConfig(temperature=1.0, top_k=1)
    assert float(logits[next_token(logits, narrow, torch.Generator())]) == float(logits.max())


def test_draws_follow_the_probabilities() -> None:
    logits = torch.tensor([0.5, 0.3, 0.2]).log()
    generator = torch.Generator().manual_seed(0)
    drawn = torch.tensor([next_token(logits, SamplingConfig(temperature=1), generator) for _ in range(4000)])
    torch.testing.assert_close(drawn.bincount() / 4000, logits.exp(), rtol=0, atol=0.03)


@pytest.mark.parametrize("broken", [[float("nan"), 1.0], [float("inf"), 1.0], [-float("inf")] * 2])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_broken_logits_are_refused(broken: list[float], temperature: float) -> None:
    with pytest.raises(ValueError, match="damaged or training diverged"):
        next_token(torch.tensor(broken), SamplingConfig(temperature=temperature), torch.Generator())


def test_a_forbidden_token_is_never_drawn() -> None:
    logits = torch.tensor([0.0, -float("inf"), 0.0])
    assert float(distribution(logits, SamplingConfig(temperature=1))[1]) == 0
