"""Positions inside the documents of packed rows."""

from __future__ import annotations

import torch
from torch import Tensor


def positions_in_documents(documents_BT: Tensor) -> Tensor:
    """Return each token's position inside its own document, int64 [B, T], from the document ordinals of packed rows."""
    index_BT = torch.arange(documents_BT.shape[1], device=documents_BT.device).expand_as(documents_BT)
    starts_BT = torch.ones_like(documents_BT, dtype=torch.bool)
    starts_BT[:, 1:] = documents_BT[:, 1:] != documents_BT[:, :-1]
    return index_BT - torch.where(starts_BT, index_BT, 0).cummax(dim=1).values
