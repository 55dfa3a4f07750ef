"""Matrices packed for oneDNN: the same products, whatever the threads, in whichever form is faster for so many vectors."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from model.hardware.transfers import torch_threads
from model.layers.decoding.projection import LEAST_ALONE, PackedMatrix, Projection

Sizes = st.integers(1, 200)


def drawn(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
@settings(max_examples=40, deadline=None)
@given(rows=st.integers(1, 40), inputs=Sizes, outputs=Sizes, bias=st.booleans(), seed=st.integers(0, 99))
def test_a_packed_matrix_multiplies_and_adds_as_the_plain_one(rows: int, inputs: int, outputs: int, bias: bool, seed: int) -> None:
    weight_OI, x_MI, stream_MO = drawn(outputs, inputs, seed=seed), drawn(rows, inputs), drawn(rows, outputs)
    bias_O = drawn(outputs, seed=seed + 1) if bias else None
    packed = PackedMatrix(weight_OI, bias_O)
    product_MO = torch.nn.functional.linear(x_MI.double(), weight_OI.double(), None if bias_O is None else bias_O.double()).float()
    before = stream_MO.clone()
    torch.testing.assert_close(packed(x_MI), product_MO, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(packed.added(stream_MO, x_MI), stream_MO + product_MO, atol=1e-4, rtol=1e-5)
    assert torch.equal(stream_MO, before), "the stream is not written into"


@torch.inference_mode()
@pytest.mark.parametrize("rows", [1, 2, 5, 7, 33, 256])
@pytest.mark.parametrize(("inputs", "outputs"), [(128, 688), (160, 4096), (416, 160), (100, 50), (1536, 576), (4096, 256)])
def test_the_bits_do_not_depend_on_the_threads(rows: int, inputs: int, outputs: int) -> None:
    x_MI, packed = drawn(rows, inputs), PackedMatrix(drawn(outputs, inputs), None)
    found = []
    for threads in (1, 2, 3, 8):
        with torch_threads(threads):
            found.append(packed(x_MI))
    assert all(torch.equal(one, found[0]) for one in found)


@torch.inference_mode()
@pytest.mark.parametrize("size", [(64, 64), (128, 3072), (1024, 2048)])
def test_a_projection_gives_the_same_to_rounding_in_either_form(size: tuple[int, int]) -> None:
    weight_OI = drawn(*size) / size[1] ** 0.5
    projection, x_MI = Projection(weight_OI, None), drawn(64, size[1])
    together_MO = projection(x_MI)
    torch.testing.assert_close(together_MO, x_MI @ weight_OI.t(), atol=1e-5, rtol=1e-5)
    for row in (0, 63):
        torch.testing.assert_close(projection(x_MI[row : row + 1])[0], together_MO[row], atol=1e-5, rtol=1e-5)


def test_a_large_matrix_is_held_once() -> None:
    large, small = Projection(drawn(1024, LEAST_ALONE // 1024 + 1), None), Projection(drawn(1024, 64), None)
    unpacked = [[value for value in vars(one).values() if isinstance(value, Tensor)] for one in (large, small)]
    assert [len(held) for held in unpacked] == [0, 1]
