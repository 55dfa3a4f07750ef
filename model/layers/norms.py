"""Norms of the residual stream: RMSNorm (Zhang and Sennrich, 2019), LayerNorm (Ba et al., 2016), BatchNorm (Ioffe and Szegedy, 2015).

Means are computed in the type of the residual stream, which stays fp32 under autocast. A norm before a sublayer rounds its result to
autocast's type once, for all the projections that read it; a norm of the stream itself (`rounded=False`) does not round.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.layers.config import NormConfig

MOMENTUM = 0.1  # of BatchNorm's running statistics


class RMSNorm(nn.Module):
    """x_XD -> x_XD for any leading axes: each vector scaled to unit root mean square, times a learned gain per channel."""

    def __init__(self, width: int, epsilon: float, *, rounded: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon, self.rounded = epsilon, rounded

    def forward(self, x_XD: Tensor) -> Tensor:
        return _rounded(functional.rms_norm(x_XD, self.weight.shape, self.weight.to(x_XD.dtype), self.epsilon), self.rounded)


class LayerNorm(nn.Module):
    """x_XD -> x_XD for any leading axes: each vector at mean 0 and variance 1, times a gain plus a bias per channel."""

    def __init__(self, width: int, epsilon: float, *, rounded: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.epsilon, self.rounded = epsilon, rounded

    def forward(self, x_XD: Tensor) -> Tensor:
        weight_D, bias_D = self.weight.to(x_XD.dtype), self.bias.to(x_XD.dtype)
        return _rounded(functional.layer_norm(x_XD, self.weight.shape, weight_D, bias_D, self.epsilon), self.rounded)


class BatchNorm(nn.Module):
    """x_BTD -> x_BTD: each channel at mean 0 and variance 1 over all tokens of the batch, times a gain plus a bias.

    In training a token's output depends on every other token of the micro-batch (later ones, other documents, padding), so a job
    with this norm must train on one worker with the whole batch as one micro-batch. In evaluation it uses running statistics, which
    are saved with the model, and tokens are independent of each other.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, width: int, epsilon: float, *, rounded: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.register_buffer("running_mean", torch.zeros(width))
        self.register_buffer("running_var", torch.ones(width))
        self.epsilon, self.rounded = epsilon, rounded

    def forward(self, x_BTD: Tensor) -> Tensor:
        out_ND = functional.batch_norm(
            x_BTD.flatten(0, -2),
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training,
            MOMENTUM,
            self.epsilon,
        )
        return _rounded(out_ND.view_as(x_BTD), self.rounded)


def make_norm(config: NormConfig, *, rounded: bool = True) -> nn.Module:
    """Build the norm of the residual stream that the config names."""
    kind = {"rms": RMSNorm, "layer": LayerNorm, "batch": BatchNorm}[config.norm]
    return kind(config.width, config.norm_epsilon, rounded=rounded)


def _rounded(x_XD: Tensor, rounded: bool) -> Tensor:
    if rounded and torch.is_autocast_enabled(x_XD.device.type):
        return x_XD.to(torch.get_autocast_dtype(x_XD.device.type))
    return x_XD
