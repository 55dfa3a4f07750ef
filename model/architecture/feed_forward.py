"""SwiGLU (Shazeer, 2020): a gate of SiLU times a linear view, projected back; no biases, as Llama."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from model.architecture.config import DecoderConfig


class FeedForward(nn.Module):
    """x_BTD -> x_BTD through `feed_forward` inner channels."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.width, config.feed_forward, bias=False)
        self.up_proj = nn.Linear(config.width, config.feed_forward, bias=False)
        self.down_proj = nn.Linear(config.feed_forward, config.width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        down: Tensor = self.down_proj(functional.silu(self.gate_proj(x_BTD)) * self.up_proj(x_BTD))
        return down
