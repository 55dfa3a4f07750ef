"""From logits to the next token: greedy, or sampled after temperature, top-k, top-p and min-p.

The likeliest token always survives the filters. Among equal logits the smallest id ranks first, so a tie never depends on a kernel's
order. Logits that are NaN or have no finite maximum raise ValueError, so a broken model is not mistaken for a weak one.

Nothing sorts the vocabulary: top-k and top-p take the likeliest few, more of them only where those don't add up to p.

The next token of each request of a batch, by the request's own settings, constraint and seed.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from model.inference.config import SamplingConfig
from model.inference.request import Request, Score

WORD = (1 << 64) - 1
STEP = 0x9E3779B97F4A7C15  # the golden ratio's fraction, as in SplitMix64 (Steele et al., 2014)


def uniforms(seeds: Sequence[int], places: Sequence[int]) -> Tensor:
    """Return a number in [0, 1) for each seed and place, float64 [N]. Seeds count by their lowest 64 bits."""
    seed_N = _mixed(np.array([seed & WORD for seed in seeds], dtype=np.uint64))
    place_N = np.array(places, dtype=np.uint64) + np.uint64(1)
    return torch.from_numpy((_mixed(seed_N + place_N * np.uint64(STEP)) >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def _mixed(word_N: np.ndarray) -> np.ndarray:
    """Return SplitMix64's output function of each word."""
    word_N = (word_N ^ (word_N >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word_N = (word_N ^ (word_N >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = word_N ^ (word_N >> np.uint64(31))
    return mixed


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


def write_tokens(logits_NV: Tensor, requests: Sequence[Request]) -> None:
    """Add a token to the reply of each request. An error of an isolated request becomes its fault, and the others go on."""
    try:
        drawn = list(zip(next_tokens(logits_NV, requests), _scores(logits_NV, requests), strict=True))
    except Exception as error:
        if not all(request.isolated for request in requests):
            raise
        if len(requests) == 1:
            requests[0].fail(error)
            return
        for row, request in enumerate(requests):
            write_tokens(logits_NV[row : row + 1], [request])
        return
    for request, ((token, log_probability), scores) in zip(requests, drawn, strict=True):
        try:
            if scores is not None:
                request.scores.append(scores(token))
            request.write(token, log_probability)
        except Exception as error:
            if not request.isolated:
                raise
            request.fail(error)


def next_tokens(logits_NV: Tensor, requests: Sequence[Request]) -> list[tuple[int, float]]:
    """Return the next token of each request, and its log-probability in nats when it was drawn (0 where the likeliest is taken)."""
    chosen: list[tuple[int, float]] = [(0, 0.0)] * len(requests)
    rows_by: dict[SamplingConfig, list[int]] = defaultdict(list)
    for row, request in enumerate(requests):
        rows_by[request.config].append(row)
    for config, rows in rows_by.items():
        of = [requests[row] for row in rows]
        uniform_N = uniforms([request.seed for request in of], [len(request.tokens) for request in of]) if config.temperature else None
        own_NV = logits_NV if len(rows) == len(requests) else logits_NV[torch.tensor(rows, device=logits_NV.device)]
        tokens, log_probabilities = choose(adjusted(own_NV, of, config), config, uniform_N)
        for row, token, log_probability in zip(rows, tokens, log_probabilities, strict=True):
            chosen[row] = (token, log_probability)
    return chosen


def adjusted(logits_NV: Tensor, requests: Sequence[Request], config: SamplingConfig) -> Tensor:
    """Return the logits after biases, penalties and constraints; tokens that are not allowed get -inf."""
    if not config.adjusts and all(request.constraint is None for request in requests):
        return logits_NV
    logits_NV = logits_NV.float().clone()
    for logits_V, request in zip(logits_NV, requests, strict=True):
        _penalize(logits_V, request, config)
        if request.constraint is not None:
            logits_V.masked_fill_(~request.constraint.allowed().to(logits_V.device), float("-inf"))
    return logits_NV


def _penalize(logits_V: Tensor, request: Request, config: SamplingConfig) -> None:
    """Change logits in place. The repetition penalty divides positive ones and multiplies negative ones (Keskar et al. 2019)."""
    device = logits_V.device
    if config.repetition_penalty != 1:
        # Patches of pictures in the prompt have tokens behind the vocabulary.
        seen_S = torch.tensor(sorted(token for token in {*request.prompt, *request.tokens} if token < len(logits_V)), device=device)
        seen = logits_V[seen_S]
        logits_V[seen_S] = torch.where(seen > 0, seen / config.repetition_penalty, seen * config.repetition_penalty)
    if request.tokens and (config.presence_penalty or config.frequency_penalty):
        count_V = torch.tensor(request.tokens, device=device).bincount(minlength=len(logits_V))
        logits_V -= config.frequency_penalty * count_V + config.presence_penalty * (count_V > 0)
    if config.logit_bias:
        token_B, bias_B = _biases(config.logit_bias, device)
        logits_V[token_B] += bias_B


@lru_cache(maxsize=64)
def _biases(pairs: tuple[tuple[int, float], ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return tokens and biases as tensors [B], made once for all tokens of a reply."""
    return torch.tensor([token for token, _ in pairs], device=device), torch.tensor([bias for _, bias in pairs], device=device)


class _Scored:
    """The log-probabilities of one row."""

    def __init__(self, log_V: Tensor, count: int) -> None:
        self._log_V, self._count = log_V, count

    def __call__(self, token: int) -> Score:
        """Return the score of a token, with the likeliest ones, the smallest id first among equals."""
        value_A, token_A = self._log_V.topk(self._count)
        likeliest = sorted(zip(token_A.tolist(), value_A.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))
        return Score(float(self._log_V[token]), likeliest)


def _scores(logits_NV: Tensor, requests: Sequence[Request]) -> list[_Scored | None]:
    scored = [request.alternatives is not None for request in requests]
    if not any(scored):
        return [None] * len(requests)
    log_NV = logits_NV.float().log_softmax(-1)
    return [
        _Scored(log_V, min(request.alternatives, len(log_V))) if request.alternatives is not None else None
        for log_V, request in zip(log_NV, requests, strict=True)
    ]
