"""A bottleneck after a linear layer (Houlsby et al., 2019): y + U act(D y + d) + u, through a few channels.

U and u start at zero, so training starts from the original layer. The function between D and U is not linear, so it can't be merged
into the layer's matrix.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Bottleneck(nn.Module):
    """x_I -> y_O of the layer that it wraps, plus what the bottleneck makes of y_O."""

    bottleneck_down: nn.Linear
    bottleneck_up: nn.Linear

    def __init__(self, base_layer: nn.Linear, width: int) -> None:
        super().__init__()
        outputs = base_layer.out_features
        self.base_layer, self.enabled = base_layer, True
        with torch.device(base_layer.weight.device):
            self.bottleneck_down, self.bottleneck_up = nn.Linear(outputs, width), nn.Linear(width, outputs)

    def forward(self, x_XI: Tensor) -> Tensor:
        y_XO: Tensor = self.base_layer(x_XI)
        return y_XO + self.after(y_XO) if self.enabled else y_XO

    def after(self, y_XO: Tensor) -> Tensor:
        """Return what is added to the layer's output."""
        added_XO: Tensor = self.bottleneck_up(functional.gelu(self.bottleneck_down(y_XO)))
        return added_XO
