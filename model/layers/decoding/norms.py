"""A norm in two parts: how it scales a vector, and what it does to each channel, which the next matrix takes in."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.layers.decoding.projection import NEUTRAL, Affine
from model.layers.norms import BatchNorm, LayerNorm, RMSNorm

Scale = Callable[[Tensor], Tensor]


def split_norm(norm: nn.Module) -> tuple[Scale, Affine]:
    """Return the scaling of x_XD and the gain and shift that follow, as the norm computes in evaluation.

    Raise TypeError for a norm of another kind than `make_norm` builds.
    """
    if isinstance(norm, nn.Identity):
        return _unscaled, NEUTRAL
    if isinstance(norm, RMSNorm):
        return _RootMeanSquare(norm.weight, norm.epsilon), Affine(norm.weight.detach().float())
    if isinstance(norm, LayerNorm):
        return _Standardized(len(norm.weight), norm.epsilon), Affine(norm.weight.detach().float(), norm.bias.detach().float())
    if isinstance(norm, BatchNorm):
        gain_D = norm.weight.detach().float() * (norm.running_var.float() + norm.epsilon).rsqrt()
        return _unscaled, Affine(gain_D, norm.bias.detach().float() - gain_D * norm.running_mean.float())
    raise TypeError(f"generation does not support the norm {type(norm).__name__}")


def whole_norm(norm: nn.Module) -> Scale:
    """Return a norm whose result is read by more than matrices: scaling, gain and shift."""
    scale, after = split_norm(norm)
    gain_D, shift_D = after.gain_D, after.shift_D
    if gain_D is None:
        return scale
    if shift_D is None:
        return lambda x_XD: scale(x_XD) * gain_D
    return lambda x_XD: torch.addcmul(shift_D, scale(x_XD), gain_D)


class _RootMeanSquare:
    """x / sqrt(mean(x^2) + epsilon) in four small operations; PyTorch's own takes about twice as long on a CPU."""

    def __init__(self, weight_D: Tensor, epsilon: float) -> None:
        self.epsilon_1 = torch.full((1,), epsilon, device=weight_D.device)
        self.share = 1 / len(weight_D)

    def __call__(self, x_XD: Tensor) -> Tensor:
        norm_X1 = torch.linalg.vector_norm(x_XD, dim=-1, keepdim=True)
        return x_XD * torch.addcmul(self.epsilon_1, norm_X1, norm_X1, value=self.share).rsqrt_()


class _Standardized:
    def __init__(self, width: int, epsilon: float) -> None:
        self.shape, self.epsilon = (width,), epsilon

    def __call__(self, x_XD: Tensor) -> Tensor:
        return functional.layer_norm(x_XD, self.shape, None, None, self.epsilon)


def _unscaled(x_XD: Tensor) -> Tensor:
    return x_XD
