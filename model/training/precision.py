"""Number types of the matrix products, and the loss scale that fp16 needs.

bf16 and fp16 are autocast's: matrix products in that type, everything else (weights, gradients, their reduction, the optimizer) in fp32.
fp8 is bf16 with the blocks' linear maps in eight bits (see `float8`). fp16 reaches down to 6e-8 only, so the loss is multiplied by a scale
that keeps gradients above that, and they are divided by it again.
"""

from __future__ import annotations

import torch

from model.training.config import TrainConfig

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp8": torch.bfloat16}


class LossScale:
    """Dynamic loss scale (Micikevicius et al., 2018): halved when a gradient overflows, doubled after `loss_scale_window` good updates.

    Powers of two change no digit of a gradient. Under another precision than fp16 it is 1 for good.
    """

    SMALLEST = 1.0

    def __init__(self, config: TrainConfig) -> None:
        self._dynamic, self._window = config.precision == "fp16", config.loss_scale_window
        self.scale = config.loss_scale if self._dynamic else 1.0
        self.good = 0
        self.skipped = 0

    @property
    def can_shrink(self) -> bool:
        """Whether an overflow may be the scale's fault; where not, the gradient is no number by itself."""
        return self._dynamic and self.scale > self.SMALLEST

    def after(self, overflow: bool) -> None:
        """Learn from an update."""
        if overflow:
            self.scale, self.good, self.skipped = max(self.SMALLEST, self.scale / 2), 0, self.skipped + 1
            return
        self.good += 1
        if self._dynamic and self.good % self._window == 0:
            self.scale *= 2
