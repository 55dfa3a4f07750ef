"""The number types of matrix products: autocast, eight-bit linear layers, and the loss scale that fp16 needs.

bf16 and fp16 use autocast: matrix products in that type, everything else (weights, gradients, their reduction, the optimizer) in fp32. fp8
is bf16 with the blocks' linear layers in eight bits (see `float8`). The smallest fp16 number is 6e-8, so the loss is multiplied by a scale
that keeps gradients above it, and the gradients are divided by it again.

Linear layers whose matrix products are computed in eight bits, through torch's scaled product.

Formats as in Micikevicius et al., 2022, "FP8 Formats for Deep Learning": e4m3 for activations and weights, e5m2 for gradients. Each tensor
is divided by its own scale, computed anew for each product, so its largest element becomes the format's largest number ("dynamic
tensorwise" scaling); so there is no state to checkpoint. Weights, gradients and optimizer stay fp32; the rest of the model is autocast to
bf16. Cost: one pass over each operand to find its scale. Cards without such products, and layers whose sizes are not multiples of 16, are
refused.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.networks.network import Network
from model.training.config import TrainConfig
from model.training.job import JobError
from model.training.resources import TrainResources

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(device_type: str, products: str, *, keep: bool = True) -> torch.autocast:
    """Return the context in which matrix products have this type; any other name than those of `AUTOCAST` changes nothing.

    `keep`: a weight is rounded once in a pass, and its copy kept to the end of it, where a second use finds it. If not, a block that is
    computed again in the backward pass leaves nothing behind in the forward pass.
    """
    return torch.autocast(device_type, AUTOCAST.get(products), enabled=products in AUTOCAST, cache_enabled=keep)


def require_card(resources: TrainResources) -> None:
    """Raise JobError if the resources ask for what this machine's card can't do, or for what only a card can do where there is none."""
    if resources.tf32 and not torch.cuda.is_available():
        raise JobError("resources.training.tf32=true needs an NVIDIA card, and this machine has none; set tf32=false")
    if resources.tf32 and (torch.version.hip is not None or torch.cuda.get_device_capability() < (8, 0)):
        raise JobError(f"resources.training.tf32=true: {torch.cuda.get_device_name()} has no TF32; set tf32=false")
    if resources.deterministic and not torch.cuda.is_available():
        raise JobError(
            "resources.training.deterministic=true is for NVIDIA cards, and this machine has none; a CPU gives the same bytes without it: "
            "set deterministic=false"
        )


def use_tf32(resources: TrainResources) -> None:
    """Let fp32 products be computed in TF32, if the resources ask for it; raise JobError if this machine's card can't."""
    require_card(resources)
    if resources.tf32:
        torch.set_float32_matmul_precision("high")


def use_deterministic(resources: TrainResources) -> None:
    """Have a card's sums added in one order, if the resources ask for it; raise JobError if this machine has no card.

    What PyTorch has no deterministic algorithm for fails by name. cuBLAS also needs a workspace of fixed size, which `commands.py` sets in
    the worker's environment, as it is read once. On a CPU the same job gives the same bytes without it.
    """
    require_card(resources)
    if resources.deterministic:
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False


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


ACTIVATION, GRADIENT = torch.float8_e4m3fn, torch.float8_e5m2
MULTIPLE = 16  # the kernels accept no other sizes


def use_float8(network: Network) -> None:
    """Make the linear layers inside the blocks compute in eight bits; embeddings and the output head stay bf16.

    Raise JobError for layers of other sizes than the kernels take, and for a network without any.
    """
    layers = {name: module for name, module in network.blocks().named_modules() if type(module) is nn.Linear}
    if not layers:
        raise JobError(f"precision=fp8 with kind={network.config.kind}: its blocks have no linear layers; use precision=bf16")
    for name, module in layers.items():
        if module.in_features % MULTIPLE or module.out_features % MULTIPLE:
            raise JobError(
                f"precision=fp8 needs sizes in multiples of {MULTIPLE}, but layers.{name} maps {module.in_features} to "
                f"{module.out_features}; change the model's widths, or use precision=bf16"
            )
        module.__class__ = Float8Linear


def require_float8() -> None:
    """Raise JobError unless this machine has a card that multiplies in eight bits."""
    if not torch.cuda.is_available():
        raise JobError("precision=fp8 needs a card that multiplies in eight bits, and this machine has none; use precision=bf16")
    if torch.version.hip is None and torch.cuda.get_device_capability() < (8, 9):
        raise JobError(f"precision=fp8: {torch.cuda.get_device_name()} does not multiply in eight bits; use precision=bf16")


class Float8Linear(nn.Linear):
    """A linear layer with the same parameters, whose three products (output and both gradients) are computed in eight bits."""

    def forward(self, x: Tensor) -> Tensor:
        rows_NI = x.flatten(0, -2)
        padding = -len(rows_NI) % MULTIPLE
        out_NO: Tensor = Float8Product.apply(functional.pad(rows_NI, (0, 0, 0, padding)), self.weight)[: len(rows_NI)]  # type: ignore[no-untyped-call]
        out = out_NO.view(*x.shape[:-1], self.out_features)
        return out if self.bias is None else out + self.bias.to(out.dtype)


class Float8Product(torch.autograd.Function):
    """x_NI times the transposed weight_OI."""

    @staticmethod
    def forward(ctx: Any, x_NI: Tensor, weight_OI: Tensor) -> Tensor:
        ctx.save_for_backward(x_NI, weight_OI)
        return product(x_NI, ACTIVATION, weight_OI.t(), ACTIVATION, torch.bfloat16)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        (gradient_NO,), (x_NI, weight_OI) = gradients, ctx.saved_tensors
        return (
            product(gradient_NO, GRADIENT, weight_OI, ACTIVATION, torch.bfloat16).to(x_NI.dtype),
            product(gradient_NO.t(), GRADIENT, x_NI, ACTIVATION, torch.float32).to(weight_OI.dtype),
        )


def product(left_MK: Tensor, left_type: torch.dtype, right_KN: Tensor, right_type: torch.dtype, out: torch.dtype) -> Tensor:
    """Return left times right, each rounded to eight bits first."""
    (left8, left_scale), (right8, right_scale) = to_float8(left_MK, left_type), to_float8(right_KN, right_type)
    # The kernels need the left operand in row-major and the right one in column-major order.
    return torch._scaled_mm(left8.contiguous(), right8.t().contiguous().t(), scale_a=left_scale, scale_b=right_scale, out_dtype=out)


def to_float8(x: Tensor, kind: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return x / scale in eight bits, and the scale (fp32 scalar), which maps x's largest element to the format's largest number."""
    largest = torch.finfo(kind).max
    scale = (x.detach().abs().amax().float() / largest).clamp(min=torch.finfo(torch.float32).tiny)
    return (x.float() / scale).clamp(-largest, largest).to(kind), scale
