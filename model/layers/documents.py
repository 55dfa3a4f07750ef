"""Positions inside the documents of packed rows."""

from __future__ import annotations

import torch
from torch import Tensor


def positions_in_documents(documents_BT: Tensor) -> Tensor:
    """Position of each token inside its own document, from the document ordinals of packed rows; int64 [B, T]."""
    index = torch.arange(documents_BT.shape[1], device=documents_BT.device).expand_as(documents_BT)
    starts = torch.ones_like(documents_BT, dtype=torch.bool)
    starts[:, 1:] = documents_BT[:, 1:] != documents_BT[:, :-1]
    return index - torch.where(starts, index, 0).cummax(dim=1).values
