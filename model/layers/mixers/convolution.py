"""Causal convolutions of each channel by itself: a short one inside other mixers, and a gated one as a mixer of its own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from model.layers.mixers.mixer import Draw, Mixer, Places, State

if TYPE_CHECKING:
    from model.layers.mixers.config import ConvolutionMixer


class CausalConvolution(nn.Module):
    """y_t = sum over j of weight_(taps - 1 - j) x_(t - j dilation), within the document; weights in the order of `torch.nn.Conv1d`.

    Its state is the window of the last (taps - 1) x dilation inputs. Computed in fp32, a product for each tap.
    """

    def __init__(self, channels: int, taps: int, *, dilation: int = 1, bias: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, 1, taps))
        self.bias = nn.Parameter(torch.zeros(channels)) if bias else None
        self.taps, self.dilation, self.window = taps, dilation, (taps - 1) * dilation

    def forward(self, x_BTC: Tensor, places: Places, before_BWC: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return y_BTC and the window after the last token that counts."""
        rows, time, channels = x_BTC.shape
        x_BTC = x_BTC.float()
        before_BWC = x_BTC.new_zeros(rows, self.window, channels) if before_BWC is None else before_BWC
        all_BSC = torch.cat((before_BWC, x_BTC), dim=1)
        y_BTC = x_BTC * self.weight[:, 0, -1].float()
        for tap in range(1, self.taps):
            back = tap * self.dilation
            shifted_BTC = all_BSC[:, self.window - back : self.window - back + time]
            if places.positions_BT is not None:
                shifted_BTC = torch.where((places.positions_BT >= back)[..., None], shifted_BTC, 0.0)
            y_BTC = y_BTC + shifted_BTC * self.weight[:, 0, -1 - tap].float()
        if self.bias is not None:
            y_BTC = y_BTC + self.bias.float()
        if places.counts_B is None:
            return y_BTC, all_BSC[:, time:]
        index_BW = places.counts_B[:, None] + torch.arange(self.window, device=x_BTC.device)
        return y_BTC, all_BSC.gather(1, index_BW[..., None].expand(-1, -1, channels))

    def empty(self, rows: int, device: torch.device) -> Tensor:
        """Return the window of rows without tokens."""
        return torch.zeros(rows, self.window, len(self.weight), device=device)

    def draw_weights(self, draw: Draw, name: str) -> None:
        """Draw the taps so that outputs are spread as inputs are."""
        draw(self.weight, 1 / math.sqrt(self.taps), f"{name}.weight")


class GatedConvolution(Mixer):
    """out(c * conv(b * x)), where b, c and x are made from each token (Liquid AI, LFM2, 2025: "LIV" convolution)."""

    def __init__(self, config: ConvolutionMixer, width: int) -> None:
        super().__init__()
        self.in_proj = nn.Linear(width, 3 * width, bias=False)
        self.conv = CausalConvolution(width, config.taps, dilation=config.dilation)
        self.o_proj = nn.Linear(width, width, bias=False)

    def forward(self, x_BTD: Tensor, places: Places) -> tuple[Tensor, State]:
        b_BTD, c_BTD, x_BTD = self.in_proj(x_BTD).chunk(3, dim=-1)
        (before_BWD,) = (None,) if places.state is None else places.state
        y_BTD, window_BWD = self.conv(b_BTD * x_BTD, places, before_BWD)
        return self.o_proj(c_BTD * y_BTD.to(c_BTD.dtype)), (window_BWD,)

    def empty(self, rows: int, device: torch.device) -> State:
        return (self.conv.empty(rows, device),)

    def draw_weights(self, draw: Draw, name: str) -> None:
        self.conv.draw_weights(draw, f"{name}.conv")
