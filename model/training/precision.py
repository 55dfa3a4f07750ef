"""The number types of matrix products, and the loss scale that fp16 needs.

bf16 and fp16 use autocast: matrix products in that type, everything else (weights, gradients, their reduction, the optimizer) in fp32. fp8
is bf16 with the blocks' linear layers in eight bits (see `float8`). The smallest fp16 number is 6e-8, so the loss is multiplied by a scale
that keeps gradients above it, and the gradients are divided by it again.
"""

from __future__ import annotations

import torch

from model.training.config import TrainConfig
from model.training.job import JobError
from model.training.resources import TrainResources

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(device_type: str, products: str) -> torch.autocast:
    """Return the context in which matrix products have this type; any other name than those of `AUTOCAST` changes nothing."""
    return torch.autocast(device_type, AUTOCAST.get(products), enabled=products in AUTOCAST)


def use_tf32(resources: TrainResources) -> None:
    """Let fp32 products be computed in TF32, if the resources ask for it; raise JobError if this machine's card can't."""
    if not resources.tf32:
        return
    if not torch.cuda.is_available():
        raise JobError("resources.training.tf32=true needs an NVIDIA card, and this machine has none; set tf32=false")
    if torch.version.hip is not None or torch.cuda.get_device_capability() < (8, 0):
        raise JobError(f"resources.training.tf32=true: {torch.cuda.get_device_name()} has no TF32; set tf32=false")
    torch.set_float32_matmul_precision("high")


class LossScale:
    """Dynamic loss scale (Micikevicius et al., 2018): halved when a gradient overflows, doubled after `loss_scale_window` good updates.

    A power of two leaves a gradient's digits unchanged. Where the precision asks for none, the scale stays 1.
    """

    SMALLEST = 1.0

    def __init__(self, config: TrainConfig) -> None:
        scaling = config.precision.loss_scaling
        self.dynamic = scaling is not None
        self.scale, self._window = scaling or (1.0, 1)
        self.good = 0
        self.skipped = 0

    @property
    def can_shrink(self) -> bool:
        """Whether an overflow may be due to the scale; if not, the gradient itself is not finite."""
        return self.dynamic and self.scale > self.SMALLEST

    def after(self, overflow: bool) -> None:
        """Adapt the scale after an update."""
        if overflow:
            self.scale, self.good, self.skipped = max(self.SMALLEST, self.scale / 2), 0, self.skipped + 1
            return
        self.good += 1
        if self.dynamic and self.good % self._window == 0:
            self.scale *= 2
