"""fp16's loss scale: halved on overflow, doubled after a while without; and precisions that are not offered."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from model.training.config import PretrainConfig
from model.training.precision import LossScale
from model.training.precisions import Bf16Config, Fp16Config


def test_the_scale_halves_at_an_overflow_and_doubles_after_a_window_of_good_updates() -> None:
    scale = LossScale(PretrainConfig(precision=Fp16Config(loss_scale=8, loss_scale_window=3)))
    seen = []
    for overflow in (True, False, False, True, False, False, False, False, False, False, False):
        scale.after(overflow)
        seen.append(scale.scale)
    assert seen == [4, 4, 4, 2, 2, 2, 4, 4, 4, 8, 8]
    assert scale.skipped == 2


def test_at_the_smallest_scale_an_overflow_is_not_due_to_the_scale() -> None:
    scale = LossScale(PretrainConfig(precision=Fp16Config(loss_scale=2)))
    assert scale.can_shrink
    scale.after(True)
    assert scale.scale == 1 and not scale.can_shrink


def test_other_types_have_no_scale() -> None:
    scale = LossScale(PretrainConfig(precision=Bf16Config()))
    assert scale.scale == 1 and not scale.can_shrink


def test_a_type_that_is_not_offered_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"precision\n.*'fp32', 'bf16', 'fp16', 'fp8'"):
        PretrainConfig.model_validate({"precision": "int8"})
