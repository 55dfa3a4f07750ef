"""Texts to vectors: the mean of an encoder's hidden vectors, of length 1."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from model.networks.network import Network


@torch.inference_mode()
def embed(network: Network, texts: Sequence[Sequence[int]]) -> list[list[float]]:
    """Return a vector for each text of tokens. Raise ValueError for a text that is empty or longer than the context."""
    context = network.config.context
    for number, ids in enumerate(texts):
        if not 0 < len(ids) <= context:
            raise ValueError(f"text {number} is {len(ids)} tokens, and this model reads between 1 and {context}")
    device = next(network.parameters()).device
    rows = [network({"tokens": torch.tensor([list(ids)], device=device)})[0].float().mean(0) for ids in texts]
    return [functional.normalize(row, dim=0).tolist() for row in rows]
