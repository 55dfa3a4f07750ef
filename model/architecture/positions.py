"""Rotary positions (Su et al., 2021), in Llama's layout: channel i turns together with channel i + half.

Guarantee: queries and keys turned by their positions have dot products that depend on distance alone. Angles are
computed in fp32 and only then rounded to the activations' type. The tables are kept per device, type and length, so a
training step computes none.
"""

from __future__ import annotations

import torch
from torch import Tensor


class RotaryTable:
    """Cosines and sines for positions 0 .. length-1; grows when a longer sequence comes.

    Not a buffer of the module: `module.bfloat16()` would round the angles' tables for good.
    """

    def __init__(self, head_width: int, theta: float) -> None:
        self.head_width = head_width
        self.theta = theta
        self._tables: dict[tuple[torch.device, torch.dtype], tuple[Tensor, Tensor]] = {}

    def upto(self, length: int, like: Tensor) -> tuple[Tensor, Tensor]:
        """cos_PH and sin_PH with at least `length` positions, in the type and on the device of `like`.

        The first half of the sines is negative: turning is then x * cos + (x with halves swapped) * sin.
        """
        key = (like.device, like.dtype)
        if key not in self._tables or len(self._tables[key][0]) < length:
            exponent = torch.arange(0, self.head_width, 2, dtype=torch.int64).float() / self.head_width
            angle = torch.arange(length, dtype=torch.float32)[:, None] * (1.0 / self.theta**exponent)[None, :]
            cos, sin = angle.cos(), angle.sin()
            self._tables[key] = (
                torch.cat((cos, cos), dim=-1).to(like),
                torch.cat((-sin, sin), dim=-1).to(like),
            )
        return self._tables[key]


def rotate(x_BHTK: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each head's vector by its position; `cos` and `sin` broadcast to [B, H, T, K]."""
    half = x_BHTK.shape[-1] // 2
    return x_BHTK * cos + x_BHTK.roll(half, dims=-1) * sin


def positions_in_documents(documents_BT: Tensor) -> Tensor:
    """Position of each token inside its own document, from the document ordinals of packed rows; int64 [B, T]."""
    index = torch.arange(documents_BT.shape[1], device=documents_BT.device).expand_as(documents_BT)
    starts = torch.ones_like(documents_BT, dtype=torch.bool)
    starts[:, 1:] = documents_BT[:, 1:] != documents_BT[:, :-1]
    return index - torch.where(starts, index, 0).cummax(dim=1).values
