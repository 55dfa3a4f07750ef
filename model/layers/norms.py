"""Norms of the residual stream: RMSNorm (Zhang and Sennrich, 2019), LayerNorm (Ba et al., 2016), BatchNorm (Ioffe and Szegedy, 2015).

Means are taken in the type of the residual stream, which stays fp32 under autocast. Before a sublayer the result is rounded there
once, for all the projections that read it; on the stream itself (`rounded=False`) it is not.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.networks.config import DecoderConfig

MOMENTUM = 0.1


class RMSNorm(nn.Module):
    """x_..D -> x_..D, each vector at unit root mean square times a learned gain per channel; no bias, not centred."""

    def __init__(self, width: int, epsilon: float, *, rounded: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon, self.rounded = epsilon, rounded

    def forward(self, x: Tensor) -> Tensor:
        return _rounded(functional.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.epsilon), self.rounded)


class LayerNorm(nn.Module):
    """x_..D -> x_..D, each vector at mean 0 and variance 1, times a gain plus a bias per channel."""

    def __init__(self, width: int, epsilon: float, *, rounded: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.epsilon, self.rounded = epsilon, rounded

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        return _rounded(functional.layer_norm(x, self.weight.shape, weight, bias, self.epsilon), self.rounded)


class BatchNorm(nn.Module):
    """x_BTD -> x_BTD, each channel at mean 0 and variance 1 over all tokens of the batch, times a gain plus a bias.

    In training a token's output depends on every other token of the micro-batch: later ones, other documents, padding.
    So positions and documents see each other's statistics, and what is learned depends on the micro-batch. For that
    reason a job trains it on one worker with the whole batch in one piece, or is refused.
    In evaluation it takes the running statistics (each update moves them by 0.1), which are saved with the model; then
    tokens are independent of each other again.
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


def make_norm(config: DecoderConfig, *, rounded: bool = True) -> nn.Module:
    """A norm of the residual stream, of the kind that the config names."""
    kind = {"rms": RMSNorm, "layer": LayerNorm, "batch": BatchNorm}[config.norm]
    return kind(config.width, config.norm_epsilon, rounded=rounded)


def _rounded(normed: Tensor, rounded: bool) -> Tensor:
    if rounded and torch.is_autocast_enabled(normed.device.type):
        return normed.to(torch.get_autocast_dtype(normed.device.type))
    return normed
