"""The next token of each request of a batch, by the request's own settings, constraint and seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from model.inference.config import SamplingConfig
from model.inference.request import Request, Score
from model.inference.sampling import choose
from model.inference.uniforms import uniforms


def write_tokens(logits_NV: Tensor, requests: Sequence[Request]) -> None:
    """Add a token to the reply of each request."""
    scored = _scores(logits_NV, requests)
    for request, (token, log_probability), scores in zip(requests, next_tokens(logits_NV, requests), scored, strict=True):
        if scores is not None:
            request.scores.append(scores(token))
        request.write(token, log_probability)


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
        seen_S = torch.tensor(sorted({*request.prompt, *request.tokens}), device=device)
        seen = logits_V[seen_S]
        logits_V[seen_S] = torch.where(seen > 0, seen / config.repetition_penalty, seen * config.repetition_penalty)
    if request.tokens and (config.presence_penalty or config.frequency_penalty):
        count_V = torch.tensor(request.tokens, device=device).bincount(minlength=len(logits_V))
        logits_V -= config.frequency_penalty * count_V + config.presence_penalty * (count_V > 0)
    for token, bias in config.logit_bias:
        logits_V[token] += bias


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
