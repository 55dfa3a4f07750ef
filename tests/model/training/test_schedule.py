"""The learning rate of every schedule, as a table, and the size and position of every batch while it grows."""

from __future__ import annotations

import math
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from model.training.config import DpoConfig, PretrainConfig
from model.training.optimizers.build import rate_factor
from tests.model.jobs import CONTEXT, JobMaker

HALF = math.sqrt(0.5)
TABLE = {
    # Ten updates, two of them warm-up, down to a tenth.
    "constant": ({}, [0.5, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
    "linear": ({"min_learning_rate_ratio": 0.1}, [0.5, 1, *(1 - 0.9 * step / 7 for step in range(8))]),
    "cosine": ({"min_learning_rate_ratio": 0.1}, [0.5, 1, *(0.55 + 0.45 * math.cos(math.pi * step / 7) for step in range(8))]),
    "wsd": ({"min_learning_rate_ratio": 0.1, "decay_share": 0.3}, [0.5, 1, 1, 1, 1, 1, 1, 0.7, 0.4, 0.1]),
    "inverse_sqrt": ({}, [0.5, 1, math.sqrt(2 / 3), HALF, *(math.sqrt(2 / step) for step in range(5, 11))]),
}


@pytest.mark.parametrize("schedule", TABLE)
def test_a_schedule_has_the_rates_of_the_table(schedule: str) -> None:
    given_keys, rates = TABLE[schedule]
    config = PretrainConfig.model_validate({"steps": 10, "tokens": 0, "warmup_steps": 2, "schedule": schedule, **given_keys})
    assert [rate_factor(update, 10, config) for update in range(10)] == pytest.approx(rates, abs=1e-12)


def test_wsd_may_decay_to_zero_by_a_square_root() -> None:
    keys = {"steps": 8, "tokens": 0, "warmup_steps": 0, "schedule": "wsd", "decay_share": 0.5, "decay_shape": "sqrt"}
    config = PretrainConfig.model_validate(keys | {"min_learning_rate_ratio": 0.0})
    assert [rate_factor(update, 8, config) for update in range(8)] == pytest.approx([1, 1, 1, 1, 0.5, 1 - HALF, 1 - math.sqrt(0.75), 0])


@given(
    schedule=st.sampled_from(list(TABLE)),
    warmup=st.integers(0, 30),
    total=st.integers(1, 60),
    share=st.floats(0.01, 1),
    update=st.integers(0, 80),
)
def test_a_rate_is_never_above_its_peak_nor_below_its_floor_and_the_first_one_learns(
    schedule: str, warmup: int, total: int, share: float, update: int
) -> None:
    shape = {"kind": schedule} | ({"decay_share": share} if schedule == "wsd" else {})
    config = PretrainConfig.model_validate({"steps": total, "tokens": 0, "warmup_steps": warmup, "schedule": shape})
    factor = rate_factor(update, total, config)
    assert 0 < factor <= 1
    if update >= warmup and schedule in ("cosine", "linear", "wsd"):
        assert factor >= 0.1 - 1e-12


TOO_LONG = [
    ({"steps": 5, "warmup_steps": 6}, "warmup_steps=6 is longer than steps=5, so the learning rate never gets to its peak"),
    ({"tokens": 5 * 8 * CONTEXT, "warmup_steps": 6}, "warmup_steps=6 is longer than the 5 steps of tokens=640, so the learning rate"),
    ({"steps": 5, "batch_warmup_steps": 6, "batch_warmup_from": 2}, "batch_warmup_steps=6 is longer than steps=5, so the batch never"),
]


@pytest.mark.parametrize(("keys", "message"), TOO_LONG, ids=["steps", "tokens", "batch"])
def test_a_warm_up_longer_than_the_run_is_refused_with_both_keys(make_job: JobMaker, keys: dict[str, int], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        make_job(**{"steps": 0, "warmup_steps": 0, **keys})
    make_job(**{"steps": 0, "warmup_steps": 0, **keys, **{name: 5 for name in keys if name.endswith("warmup_steps")}})


@pytest.mark.parametrize("kind", [PretrainConfig, DpoConfig])
def test_the_warm_up_that_a_kind_has_by_default_ends_with_a_shorter_run(kind: type[PretrainConfig | DpoConfig]) -> None:
    config = kind(steps=4, tokens=0)
    assert [rate_factor(update, 4, config) for update in range(4)] == [0.25, 0.5, 0.75, 1]


def growing(increments: int, first: int, over: int, **keys: int) -> PretrainConfig:
    return PretrainConfig.model_validate(
        {"global_batch": first * increments, "batch_warmup_from": first, "batch_warmup_steps": over, "tokens": 0, **keys}
    )


def test_a_batch_grows_in_even_increments() -> None:
    config = growing(4, 8, 6, steps=10)
    assert [config.batch_at(update) for update in range(9)] == [8, 8, 16, 16, 24, 24, 32, 32, 32]
    assert config.smallest_batch == 8


@given(increments=st.integers(2, 9), first=st.integers(1, 5), steps=st.integers(1, 40))
def test_a_batch_begins_where_the_previous_one_ends(increments: int, first: int, steps: int) -> None:
    config = growing(increments, first, steps, steps=1)
    sizes = [config.batch_at(update) for update in range(60)]
    assert [config.sequences_before(update) for update in range(61)] == [0, *accumulate(sizes)]
    assert sizes == sorted(sizes) and sizes[0] in (first, first * increments) and sizes[steps] == first * increments


@given(increments=st.integers(2, 9), first=st.integers(1, 5), steps=st.integers(0, 20), tokens=st.integers(1, 30_000))
def test_tokens_become_the_nearest_number_of_steps(increments: int, first: int, steps: int, tokens: int) -> None:
    config = growing(increments, first, steps, tokens=tokens)
    off = abs(config.sequences_before(config.total_steps(16)) * 16 - tokens)
    assert off == min(abs(config.sequences_before(count) * 16 - tokens) for count in range(1, 2000))


def test_a_batch_that_cannot_grow_in_equal_increments_is_refused_with_its_values() -> None:
    with pytest.raises(ValidationError, match=r"batch_warmup_from=5 does not divide global_batch=32.*batch_warmup_steps=4"):
        PretrainConfig(global_batch=32, batch_warmup_steps=4, batch_warmup_from=5)
