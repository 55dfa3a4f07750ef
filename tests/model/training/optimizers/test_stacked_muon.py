"""Muon's steps of many matrices at once are those of torch's Muon, one by one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.training.distributed import import_deepspeed


@settings(max_examples=25, deadline=None)
@given(
    shapes=st.lists(st.sampled_from([(8, 8), (24, 8), (8, 24), (16, 40)]), min_size=1, max_size=9),
    seed=st.integers(0, 1000),
    scale=st.sampled_from([1e-4, 1.0, 100.0]),
)
def test_stacked_steps_are_those_of_single_matrices_up_to_rounding(shapes: list[tuple[int, int]], seed: int, scale: float) -> None:
    import_deepspeed()
    from model.training.optimizers.muon import single_steps, stacked_steps

    generator = torch.Generator().manual_seed(seed)
    directions = [scale * torch.randn(shape, generator=generator) for shape in shapes]
    for single, stacked in zip(single_steps(directions), stacked_steps(directions), strict=True):
        assert stacked.dtype == torch.float32 and stacked.shape == single.shape
        difference = torch.linalg.vector_norm(single - stacked) / torch.linalg.vector_norm(single)
        assert float(difference) < 0.03, "bf16 has 8 bits, of which five iterations lose some"


@pytest.mark.parametrize("at_once", [1, 2, 16])
def test_matrices_are_mapped_in_order_however_many_at_once(at_once: int) -> None:
    import_deepspeed()
    from model.training.optimizers.matrices import map_matrices, whole_matrices

    values = [torch.full((2, 3), float(number)) for number in range(5)]
    given_at_once = list[int]()

    def doubled(matrices: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        given_at_once.append(len(matrices))
        return [2 * matrix for matrix in matrices]

    found = map_matrices(values, values, whole_matrices, doubled, at_once=at_once)
    assert [float(matrix[0, 0]) for matrix in found] == [0, 2, 4, 6, 8] and max(given_at_once) == min(5, at_once)


@pytest.mark.parametrize("shape", [(8, 24), (24, 8), (16, 16)])
def test_a_step_with_exact_products_is_that_of_torch_up_to_the_rounding_of_bf16(shape: tuple[int, int]) -> None:
    import_deepspeed()
    from model.training.optimizers.muon import single_steps
    from tests.model.training.exact_muon import exact_step

    direction_RC = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    (rounded_RC,) = single_steps([direction_RC])
    difference = torch.linalg.vector_norm(exact_step(direction_RC) - rounded_RC) / torch.linalg.vector_norm(rounded_RC)
    assert 0 < float(difference) < 0.03
