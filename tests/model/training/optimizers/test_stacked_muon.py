"""Muon's steps of many matrices at once are those of torch's Muon, one by one."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import distributed
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.testing._internal.distributed.fake_pg import FakeStore

from model.planning.adapted import LiveBytes
from model.training.distributed import import_deepspeed
from model.training.optimizers.config import STACKED_BYTES, STACKED_COPIES


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


@pytest.mark.parametrize(("at_once", "numbers_at_once", "largest"), [(1, 0, 1), (2, 0, 2), (16, 0, 5), (16, 12, 2), (16, 1, 1)])
def test_matrices_are_mapped_in_order_however_many_at_once(at_once: int, numbers_at_once: int, largest: int) -> None:
    import_deepspeed()
    from model.training.optimizers.matrices import map_matrices, whole_matrices

    held = [torch.full((2, 3), float(number)) for number in range(5)]
    given_at_once = list[int]()

    def doubled(matrices: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        given_at_once.append(len(matrices))
        return [2 * matrix for matrix in matrices]

    found = map_matrices(held, torch.clone, whole_matrices, doubled, at_once=at_once, numbers_at_once=numbers_at_once)
    assert [(float(tensor[0, 0]), float(matrix[0, 0])) for tensor, matrix in found] == [(0, 0), (1, 2), (2, 4), (3, 6), (4, 8)]
    assert max(given_at_once) == largest


@pytest.mark.parametrize("shape", [(2048, 2048), (4096, 1024), (1024, 4096)])
@pytest.mark.parametrize("workers", [1, 8, 64])
def test_what_an_update_holds_on_an_accelerator_grows_neither_with_the_workers_nor_with_the_layers(
    workers: int, shape: tuple[int, int]
) -> None:
    """The first of so many workers, on tensors without numbers: what is held beside weights, gradients and momenta."""
    import_deepspeed()
    from model.training.optimizers.matrices import map_matrices, whole_matrices
    from model.training.optimizers.muon import STACKED, stacked_steps

    distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=workers)
    try:
        with FakeTensorMode(), torch.no_grad():
            weights, live = [torch.empty(shape) for _ in range(80)], LiveBytes()
            live.add(weights)
            beside = live.now
            with live:
                for weight, step in map_matrices(
                    weights, torch.clone, whole_matrices, stacked_steps, at_once=STACKED, numbers_at_once=STACKED_BYTES // 4
                ):
                    weight.add_(step)
    finally:
        distributed.destroy_process_group()
    print(f"{workers} workers, {shape}: {(live.peak - beside) / 2**20:.0f} MiB in an update of matrices of {beside / 2**20:.0f} MiB")
    assert live.peak - beside < STACKED_COPIES * STACKED_BYTES


@pytest.mark.parametrize("shape", [(8, 24), (24, 8), (16, 16)])
def test_a_step_with_exact_products_is_that_of_torch_up_to_the_rounding_of_bf16(shape: tuple[int, int]) -> None:
    import_deepspeed()
    from model.training.optimizers.muon import single_steps
    from tests.model.training.exact_muon import exact_step

    direction_RC = torch.randn(shape, generator=torch.Generator().manual_seed(3))
    (rounded_RC,) = single_steps([direction_RC])
    difference = torch.linalg.vector_norm(exact_step(direction_RC) - rounded_RC) / torch.linalg.vector_norm(rounded_RC)
    assert 0 < float(difference) < 0.03
