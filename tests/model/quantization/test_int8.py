"""INT8 rounding of weights."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.networks.directory import ModelError
from model.quantization.integers import Int8Config, dequantize_rows, quantize_rows


@settings(max_examples=150, deadline=None)
@given(
    rows=st.integers(1, 5),
    columns=st.integers(1, 20),
    magnitude=st.floats(-44, 30).map(lambda power: 10.0**power),
    seed=st.integers(0, 999),
)
def test_every_weight_is_restored_within_half_a_step_of_its_row(rows: int, columns: int, magnitude: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, columns, generator=generator) * magnitude
    weight[0] = 0
    integers, scale = quantize_rows(weight)
    error = (dequantize_rows(integers, scale).double() - weight.double()).abs()
    # 1e-5: the product and the quotient are rounded to fp32. Below the smallest normal scale a row is stored as zero.
    tiny = torch.finfo(torch.float32).tiny
    limit = torch.where(scale > 0, scale.double() * (0.5 + 1e-4), 128 * tiny)
    assert bool((error <= limit[:, None]).all())
    assert not integers[0].any() and int(integers.min()) >= -127
    assert integers.dtype == torch.int8 and scale.shape == (rows,)


def test_the_largest_weight_of_a_row_is_exact_to_rounding() -> None:
    integers, scale = quantize_rows(torch.tensor([[0.1, -0.5], [3.0, 1.0]]))
    assert integers.tolist() == [[25, -127], [127, 42]]
    torch.testing.assert_close(scale, torch.tensor([0.5, 3.0]) / 127)


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(broken: float) -> None:
    with pytest.raises(ValueError, match="NaN or infinity"):
        quantize_rows(torch.tensor([[1.0, broken]]))


def test_integers_without_their_scales_are_refused() -> None:
    with pytest.raises(ModelError, match="weight_scale"):
        Int8Config().build().decode({"a.weight": torch.zeros(2, 2, dtype=torch.int8)}, {"a.weight": torch.Size([2, 2])})
