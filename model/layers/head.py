"""The product with the output matrix, whose size depends on the vocabulary.

Tensor cores want rows of logits that begin at multiples of 128 bytes; with GPT-2's 50,257 tokens instead of 50,304 the product takes a
slower kernel. Choose a multiple of 64 as vocabulary, as the built-in recipes do. For other sizes, an accelerator computes with rows of
zeros below the matrix, and drops their logits: weights, exports and digests keep the vocabulary's size.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

MULTIPLE = 64


def head_product(x_ND: Tensor, weight_VD: Tensor) -> Tensor:
    """Return logits_NV, x_ND times the transposed weight_VD."""
    if x_ND.is_cuda and len(weight_VD) % MULTIPLE:
        return padded_product(x_ND, weight_VD)
    return functional.linear(x_ND, weight_VD)


def padded_product(x_ND: Tensor, weight_VD: Tensor) -> Tensor:
    """Return what `functional.linear` does, from a matrix with a multiple of 64 rows; it costs a copy of the matrix."""
    device = x_ND.device.type
    if torch.is_autocast_enabled(device):
        weight_VD = weight_VD.to(torch.get_autocast_dtype(device))
    padding = -len(weight_VD) % MULTIPLE
    return functional.linear(x_ND, functional.pad(weight_VD, (0, 0, 0, padding)))[..., : len(weight_VD)]
