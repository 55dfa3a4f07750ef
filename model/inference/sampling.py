"""From logits to the next token: greedy, or sampled after temperature, top-k, top-p and min-p.

The likeliest token always survives the filters. Among equal logits the smallest id ranks first, so a tie never depends on a kernel's
order. Logits that are NaN or have no finite maximum raise ValueError, so a broken model is not mistaken for a weak one.

Nothing sorts the vocabulary: top-k and top-p take the likeliest few, more of them only where those don't add up to p.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from model.inference.config import SamplingConfig

FEW = 64  # likeliest tokens that top_p looks at first; count


def choose(logits_NV: Tensor, config: SamplingConfig, uniform_N: Tensor | None) -> tuple[list[int], list[float]]:
    """Return the next token of each row, and its log-probability in nats when it was drawn.

    uniform_N: float64, a number in [0, 1) for each row, which decides between tokens; None where temperature is 0. The token is the one at
    that share of the row's probability, in the order of ids.
    """
    if config.temperature == 0:
        highest_N, token_N = logits_NV.max(-1)
        refuse_broken(highest_N.tolist(), logits_NV.shape[1])
        return token_N.tolist(), [0.0] * len(logits_NV)
    assert uniform_N is not None
    probability_NV = distribution(logits_NV, config)
    sum_NV = probability_NV.cumsum(-1, dtype=torch.float64)
    whole_N1 = sum_NV[:, -1:]
    # Stay below the total even when rounding up, so a token of zero probability is never drawn.
    target_N1 = torch.minimum(uniform_N.to(sum_NV.device)[:, None] * whole_N1, whole_N1.nextafter(whole_N1.new_zeros(())))
    token_N1 = torch.searchsorted(sum_NV, target_N1, right=True)
    return token_N1[:, 0].tolist(), probability_NV.gather(1, token_N1)[:, 0].double().log().tolist()


def distribution(logits_NV: Tensor, config: SamplingConfig) -> Tensor:
    """Return the probabilities that sampling draws from, fp32 [N, V].

    Temperature 0 puts all probability on the likeliest token. top_k keeps exactly min(k, vocabulary) tokens; of those, top_p keeps the
    fewest likeliest whose probabilities sum to p or more (Holtzman et al. 2020); of those, min_p keeps the ones at least that share as
    probable as the likeliest (Nguyen et al. 2024).
    """
    refuse_broken(logits_NV.amax(-1).tolist(), logits_NV.shape[1])
    logits_NV = logits_NV.detach().float()
    if config.temperature == 0:
        return torch.zeros_like(logits_NV).scatter_(1, logits_NV.argmax(-1, keepdim=True), 1.0)
    # Subtract the maximum first, so a tiny temperature overflows to -inf, never to inf.
    scaled_NV = (logits_NV - logits_NV.amax(-1, keepdim=True)) / config.temperature
    scaled_NV = _likeliest(logits_NV, scaled_NV, config)
    if config.min_p:
        scaled_NV = scaled_NV.masked_fill(scaled_NV < math.log(config.min_p), float("-inf"))
    return scaled_NV.softmax(-1)


def _likeliest(logits_NV: Tensor, scaled_NV: Tensor, config: SamplingConfig) -> Tensor:
    """Return the scaled logits that top_k and top_p keep, the others -inf."""
    vocabulary = scaled_NV.shape[1]
    most = min(config.top_k or vocabulary, vocabulary)
    if config.top_p is not None:
        lowest_N1, kept_N1 = _nucleus(logits_NV, scaled_NV, most, config.top_p)
    elif most < vocabulary:
        lowest_N1, kept_N1 = logits_NV.topk(most).values[:, -1:], torch.full((len(logits_NV), 1), most, device=logits_NV.device)
    else:
        return scaled_NV
    above_NV, equal_NV = logits_NV > lowest_N1, logits_NV == lowest_N1
    wanted_N1 = kept_N1 - above_NV.sum(-1, keepdim=True)
    kept_NV = above_NV | (equal_NV & (equal_NV.cumsum(-1) <= wanted_N1))
    return scaled_NV.masked_fill(~kept_NV, float("-inf"))


def _nucleus(logits_NV: Tensor, scaled_NV: Tensor, most: int, p: float) -> tuple[Tensor, Tensor]:
    """Return the smallest logit of each row's nucleus among its `most` likeliest tokens, and the nucleus's size, both [N, 1]."""
    # With a subset of the tokens the total is the subset's, so look at all of it.
    all_N1 = scaled_NV.double().exp().sum(-1, keepdim=True) if most == logits_NV.shape[1] else None
    looked = min(FEW, most) if all_N1 is not None else most
    while True:
        value_NF, token_NF = logits_NV.topk(looked)
        weight_NF = scaled_NV.gather(1, token_NF).double().exp()
        sum_NF = weight_NF.cumsum(-1)
        whole_N1 = sum_NF[:, -1:] if all_N1 is None else all_N1
        if looked == most or bool((sum_NF[:, -1:] >= p * whole_N1).all()):
            # A token belongs to it if all likelier ones together have less than p; the likeliest always does.
            kept_N1 = ((sum_NF - weight_NF) < p * whole_N1).sum(-1, keepdim=True).clamp(min=1)
            return value_NF.gather(1, kept_N1 - 1), kept_N1
        looked = min(8 * looked, most)


def refuse_broken(highest: Sequence[float], vocabulary: int) -> None:
    """Raise ValueError unless the largest logit of each row is a number."""
    for value in highest:
        if not math.isfinite(value):
            raise ValueError(
                f"the largest of {vocabulary} logits is {value}: the weights are damaged or training diverged; "
                "look at the loss curve, or export the model again"
            )
