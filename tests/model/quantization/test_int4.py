"""INT4 rounding of weights by groups, and its packing."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.networks.directory import ModelError
from model.quantization.integers import GroupCodec, Int4Config, pack_pairs, quantize_groups, unpack_pairs


@settings(max_examples=200, deadline=None)
@given(
    rows=st.integers(1, 4),
    columns=st.integers(1, 70),
    size=st.integers(2, 40),
    magnitude=st.floats(-44, 37).map(lambda power: 10.0**power),
    seed=st.integers(0, 999),
)
def test_every_weight_is_restored_within_half_a_step_of_its_group(rows: int, columns: int, size: int, magnitude: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, columns, generator=generator) * magnitude
    weight[0] = 0
    codec = GroupCodec(size)
    integers, scales = codec.encode(weight)
    error = (codec.decode(integers, scales, weight.shape).double() - weight.double()).abs()
    steps = codec.steps(scales, weight.shape).double()
    # 1e-4: the product and the quotient are rounded to fp32. Below the smallest normal scale a group is stored as zeros.
    limit = torch.where(steps > 0, steps * (0.5 + 1e-4), 8 * torch.finfo(torch.float32).tiny)
    assert bool((error <= limit).all())
    assert not codec.decode(integers, scales, weight.shape)[0].any(), "zero is stored exactly"
    assert integers.dtype == torch.uint8 and integers.shape == (rows, (columns + 1) // 2)
    assert scales.dtype == torch.bfloat16 and scales.shape == (rows, -(-columns // size))


def bytes_of(row: list[int]) -> list[int]:
    """Pack one row in plain Python: integer + 8 in a half byte, the even column low, a missing last column as 0."""
    even = row + [0] * (len(row) % 2)
    return [(low + 8) + 16 * (high + 8) for low, high in zip(even[0::2], even[1::2], strict=True)]


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 9).flatmap(lambda n: st.lists(st.lists(st.integers(-8, 7), min_size=n, max_size=n), min_size=1, max_size=4)))
def test_packed_bytes_are_those_of_plain_python_and_unpack_to_the_same_integers(rows: list[list[int]]) -> None:
    packed = pack_pairs(torch.tensor(rows, dtype=torch.int8))
    assert packed.tolist() == [bytes_of(row) for row in rows]
    assert unpack_pairs(packed, len(rows[0])).tolist() == rows


def test_the_integers_of_a_known_weight() -> None:
    integers, scales = quantize_groups(torch.tensor([[0.7, -0.1, 0.26, 14.0, -7.0, 1.0]]), 3)
    assert integers.tolist() == [[7, -1, 3, 7, -4, 0]]
    torch.testing.assert_close(scales.float(), torch.tensor([[0.1, 2.0]]), rtol=2**-8, atol=0)
    assert pack_pairs(integers).tolist() == [[0x7F, 0xFB, 0x84]]


def test_a_large_weight_costs_resolution_in_its_own_group_only() -> None:
    weight = torch.linspace(-1, 1, 64).repeat(2, 1)
    weight[0, 3] = 100.0
    codec = GroupCodec(32)
    error = (codec.decode(*codec.encode(weight), weight.shape) - weight).abs()
    assert float(error[0, :32].max()) > 0.5
    assert error[0, 32:].equal(error[1, 32:]) and float(error[1].max()) <= 1 / 7 / 2 + 1e-3


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(broken: float) -> None:
    with pytest.raises(ValueError, match="NaN or infinity"):
        quantize_groups(torch.tensor([[1.0, broken]]), 2)


def test_a_weight_of_another_shape_than_the_model_s_is_refused() -> None:
    codec = GroupCodec(4)
    integers, scales = codec.encode(torch.ones(2, 8))
    with pytest.raises(ModelError, match="groups of 4"):
        codec.decode(integers, scales, torch.Size([2, 12]))
    with pytest.raises(ModelError, match="groups of 8"):
        GroupCodec(8).decode(integers, scales, torch.Size([2, 8]))


def test_a_directory_that_does_not_say_its_group_size_is_refused() -> None:
    with pytest.raises(ModelError, match="group_size"):
        Int4Config.from_entry({"format": Int4Config.FORMAT})
