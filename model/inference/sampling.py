"""From logits to the next token: greedy, or drawn after temperature, top-k and top-p.

Guarantee: a seeded generator gives the same tokens again. The likeliest token always survives the filters; among equal
logits the smallest id counts as the likelier, so that a tie never depends on the order of a sort.
Cost: one sort of the vocabulary a token when top_k or top_p is set.
When it can't: logits that are NaN or have no finite maximum raise ValueError: a broken model must not look like a shy one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from model.inference.config import SamplingConfig


def next_token(logits_V: Tensor, config: SamplingConfig, generator: torch.Generator | None = None) -> int:
    """The next token's id, from logits [vocabulary]. `generator` lives on the CPU and is not touched when greedy."""
    if config.temperature == 0:
        _refuse_broken(logits_V)
        return int(logits_V.argmax())
    chosen = torch.multinomial(distribution(logits_V, config), 1, generator=generator)
    return int(chosen)


def distribution(logits_V: Tensor, config: SamplingConfig) -> Tensor:
    """The probabilities that `config` leaves, float64 [vocabulary] on the CPU; they sum to 1.

    Temperature 0 puts all on the likeliest token. top_k keeps exactly min(k, vocabulary) tokens, top_p the shortest
    prefix of the tokens by falling probability (as top_k left them) whose sum reaches p (Holtzman et al. 2020).
    """
    _refuse_broken(logits_V)
    logits = logits_V.detach().to("cpu", torch.float64)
    if config.temperature == 0:
        return torch.zeros_like(logits).index_fill_(0, logits.argmax(), 1.0)
    # The maximum is subtracted first, so that a tiny temperature overflows towards -inf and never towards inf.
    scaled = (logits - logits.max()) / config.temperature
    if config.top_k is None and config.top_p is None:
        return scaled.softmax(0)
    order = logits.sort(descending=True, stable=True).indices[: config.top_k]
    kept = scaled[order].softmax(0)
    if config.top_p is not None:
        before = kept.cumsum(0) - kept
        kept = torch.where(before < config.top_p, kept, 0.0)
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
