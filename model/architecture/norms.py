"""RMSNorm (Zhang and Sennrich, 2019): divide by the root of the mean square, then scale each channel.

The mean is taken in the type of the residual stream, which stays fp32 under autocast; there the result is rounded once, for
all the projections that read it. Keeps no bias and does not centre, as Llama.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class RMSNorm(nn.Module):
    """x_..D -> x_..D, each vector at unit root mean square times a learned gain per channel."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        normed = functional.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.epsilon)
        if torch.is_autocast_enabled(x.device.type):
            return normed.to(torch.get_autocast_dtype(x.device.type))
        return normed
