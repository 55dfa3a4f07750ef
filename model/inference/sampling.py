"""From logits to the next token: greedy, or sampled after temperature, top-k and top-p.

The likeliest token always survives the filters. Among equal logits the smallest id ranks first, so a tie never depends on the sort.
Logits that are NaN or have no finite maximum raise ValueError, so that a broken model is not mistaken for a weak one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model.inference.config import SamplingConfig


def next_token(logits_V: Tensor, config: SamplingConfig, generator: torch.Generator | None = None) -> int:
    """Choose the next token's id. `generator` is on the CPU; greedy decoding does not use it."""
    if config.temperature == 0:
        _refuse_broken(logits_V)
        return int(logits_V.argmax())
    chosen = torch.multinomial(distribution(logits_V, config), 1, generator=generator)
    return int(chosen)


def distribution(logits_V: Tensor, config: SamplingConfig) -> Tensor:
    """Return the probabilities that sampling draws from, float64 [V] on the CPU.

    Temperature 0 puts all probability on the likeliest token. top_k keeps exactly min(k, vocabulary) tokens; of those, top_p keeps the
    fewest likeliest whose probabilities sum to p or more (Holtzman et al. 2020). Costs a sort of the vocabulary if either is set.
    """
    _refuse_broken(logits_V)
    logits = logits_V.detach().to("cpu", torch.float64)
    if config.temperature == 0:
        return torch.zeros_like(logits).index_fill_(0, logits.argmax(), 1.0)
    # Subtract the maximum first, so that a tiny temperature overflows to -inf, never to inf.
    scaled = (logits - logits.max()) / config.temperature
    if config.top_k is None and config.top_p is None:
        return scaled.softmax(0)
    order = logits.sort(descending=True, stable=True).indices[: config.top_k]
    kept = scaled[order].softmax(0)
    if config.top_p is not None:
        before = kept.cumsum(0) - kept  # probability of all likelier tokens
        kept = torch.where(before < config.top_p, kept, 0.0)
        # The likeliest token survives any p.
        kept[0] = kept[0].clamp_min(torch.finfo(torch.float64).tiny)
        kept = kept / kept.sum()
    return torch.zeros_like(scaled).index_copy_(0, order, kept)


def _refuse_broken(logits_V: Tensor) -> None:
    highest = float(logits_V.max()) if logits_V.numel() else float("nan")
    if not torch.isfinite(torch.tensor(highest)):
        raise ValueError(
            f"the largest of {logits_V.numel()} logits is {highest}: the weights are damaged or training diverged; "
            "look at the loss curve, or export the model again"
        )
