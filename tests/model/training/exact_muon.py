"""Muon's step with products in float64: torch's, without the rounding of bf16, which enlarges what differs between two layouts."""

from __future__ import annotations

from torch import Tensor


def exact_step(direction: Tensor) -> Tensor:
    """Return what Muon adds to a matrix at learning rate 1, without momentum."""
    from model.training.optimizers import muon

    rows, columns = direction.shape
    x_NM = (direction.mT if rows > columns else direction).double()
    x_NM = x_NM / x_NM.norm().clamp(min=muon.EPSILON)
    for _ in range(muon.ITERATIONS):
        gram_NN = x_NM @ x_NM.mT
        x_NM = muon.A * x_NM + (muon.B * gram_NN + muon.C * gram_NN @ gram_NN) @ x_NM
    step_RC: Tensor = ((x_NM.mT if rows > columns else x_NM).float() * (-0.2 * max(rows, columns) ** 0.5)).contiguous()
    return step_RC


def multiply_exactly() -> None:
    """Have Muon take exact steps in this process, which must have called `import_deepspeed`."""
    from model.training.optimizers import muon

    muon._orthogonal_step = exact_step
