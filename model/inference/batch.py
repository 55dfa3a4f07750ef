"""Texts that are written at once, each with a prompt, settings and a seed of its own; they join and leave at any step.

What a text becomes does not depend on the others, up to rounding where two logits are nearly equal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from model.inference.config import SamplingConfig
from model.inference.sampling import choose
from model.inference.uniforms import uniforms
from model.networks.decoding import DecodingNetwork

READ_AT_ONCE = 8192  # tokens of prompts in one pass, padding included


@dataclass
class Request:
    """A text to be continued, and its reply so far.

    limit: the most tokens of the reply. stops: tokens that end it; the one that did is the last of `tokens`. log_probabilities: of each
    token when it was drawn, in nats; 0 where the likeliest is taken.
    """

    prompt: Sequence[int]
    config: SamplingConfig
    limit: int
    stops: frozenset[int] = frozenset()
    seed: int = 0
    tokens: list[int] = field(default_factory=list)
    log_probabilities: list[float] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        """Whether the last token is a stop."""
        return bool(self.tokens) and self.tokens[-1] in self.stops

    @property
    def finished(self) -> bool:
        """Whether no more tokens follow."""
        return self.ended or len(self.tokens) >= self.limit


class Batch:
    """The requests at work, one a row of the network's state."""

    def __init__(self, network: DecodingNetwork) -> None:
        self._network, self._state = network, network.new_state()
        self.requests: list[Request] = []

    def join(self, requests: Sequence[Request]) -> list[Request]:
        """Read the prompts and write the first token of each reply; return the requests that are finished with it."""
        finished: list[Request] = []
        for together in _divided(requests):
            longest = max(len(request.prompt) for request in together)
            padded = [[*request.prompt, *[0] * (longest - len(request.prompt))] for request in together]
            first = len(self.requests)
            self.requests += together
            self._state.add(len(together))
            finished += self._advance(padded, [len(request.prompt) for request in together], first)
        return finished

    def step(self) -> list[Request]:
        """Write one more token of each reply; return the requests that are finished with it."""
        if not self.requests:
            return []
        return self._advance([[request.tokens[-1]] for request in self.requests], [1] * len(self.requests), 0)

    def _advance(self, tokens: list[list[int]], counts: list[int], first: int) -> list[Request]:
        logits_NV = self._network.step(torch.tensor(tokens, device=self._network.device), counts, self._state, first)
        self._choose(logits_NV, self.requests[first:])
        finished = []
        # From the end, so that a row which moves into a gap has been looked at.
        for row in range(len(self.requests) - 1, first - 1, -1):
            if self.requests[row].finished:
                finished.append(self.requests[row])
                self._state.remove(row)
                self.requests[row] = self.requests[-1]
                self.requests.pop()
        return finished[::-1]

    def _choose(self, logits_NV: Tensor, requests: Sequence[Request]) -> None:
        rows_by: dict[SamplingConfig, list[int]] = defaultdict(list)
        for row, request in enumerate(requests):
            rows_by[request.config].append(row)
        for config, rows in rows_by.items():
            of = [requests[row] for row in rows]
            uniform_N = uniforms([request.seed for request in of], [len(request.tokens) for request in of]) if config.temperature else None
            logits = logits_NV if len(rows) == len(requests) else logits_NV[torch.tensor(rows, device=logits_NV.device)]
            for request, token, log_probability in zip(of, *choose(logits, config, uniform_N), strict=True):
                request.tokens.append(token)
                request.log_probabilities.append(log_probability)


def _divided(requests: Sequence[Request]) -> list[list[Request]]:
    """Return the requests, in order, in parts whose prompts are read in one pass."""
    parts: list[list[Request]] = []
    longest = 0
    for request in requests:
        longest = max(longest, len(request.prompt))
        if not parts or (len(parts[-1]) + 1) * longest > READ_AT_ONCE:
            parts.append([])
            longest = len(request.prompt)
        parts[-1].append(request)
    return parts
