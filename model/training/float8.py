"""Linear maps whose matrix products are computed in eight bits, through torch's scaled product.

Formats as in Micikevicius et al., 2022, "FP8 Formats for Deep Learning": e4m3 for activations and weights, e5m2 for gradients. Each
tensor is divided by a scale of its own, found anew for each product, so that its largest element is the format's largest ("dynamic
tensorwise"): no state, nothing for a checkpoint to carry. Weights, gradients and optimizer stay fp32; the rest of the model is autocast
to bf16. Cost: one pass over each operand to find its scale. When it can't: a card without these products, and maps whose sizes are no
multiples of 16, are refused by name.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.networks.decoder import Decoder
from model.training.job import JobError

ACTIVATION, GRADIENT = torch.float8_e4m3fn, torch.float8_e5m2
MULTIPLE = 16  # the product's kernels take no other sizes


def use_float8(decoder: Decoder) -> None:
    """Compute the linear maps inside the blocks in eight bits from now on; embeddings and the output head keep bf16."""
    for name, module in decoder.model.layers.named_modules():
        if type(module) is nn.Linear:
            if module.in_features % MULTIPLE or module.out_features % MULTIPLE:
                raise JobError(
                    f"precision=fp8 wants sizes in multiples of {MULTIPLE}, and layers.{name} maps {module.in_features} to "
                    f"{module.out_features}; change model's widths, or precision=bf16"
                )
            module.__class__ = Float8Linear


def require_float8() -> None:
    """JobError on a machine without a card that multiplies in eight bits."""
    if not torch.cuda.is_available():
        raise JobError("precision=fp8 wants a card that multiplies in eight bits, and this machine has none; use precision=bf16")
    if torch.version.hip is None and torch.cuda.get_device_capability() < (8, 9):
        raise JobError(f"precision=fp8: {torch.cuda.get_device_name()} does not multiply in eight bits; use precision=bf16")


class Float8Linear(nn.Linear):
    """A linear map with the same parameters, whose three products (output and both gradients) are in eight bits."""

    def forward(self, x: Tensor) -> Tensor:
        rows_NI = x.flatten(0, -2)
        short = -len(rows_NI) % MULTIPLE
        out_NO: Tensor = Float8Product.apply(functional.pad(rows_NI, (0, 0, 0, short)), self.weight)[: len(rows_NI)]  # type: ignore[no-untyped-call]
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
    """left times right, each rounded to eight bits first."""
    (left8, left_scale), (right8, right_scale) = to_float8(left_MK, left_type), to_float8(right_KN, right_type)
    # The kernels read the left one by rows and the right one by columns.
    return torch._scaled_mm(left8.contiguous(), right8.t().contiguous().t(), scale_a=left_scale, scale_b=right_scale, out_dtype=out)


def to_float8(x: Tensor, kind: torch.dtype) -> tuple[Tensor, Tensor]:
    """x divided by a scale, in eight bits, and the scale (fp32 scalar): the format's largest number for x's largest element."""
    largest = torch.finfo(kind).max
    scale = (x.detach().abs().amax().float() / largest).clamp(min=torch.finfo(torch.float32).tiny)
    return (x.float() / scale).clamp(-largest, largest).to(kind), scale
