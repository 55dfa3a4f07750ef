"""Texts that are written at once, each with a prompt, settings and a seed of its own; they join and leave at any step.

What a text becomes does not depend on the others, up to rounding where two logits are nearly equal.

Cached states of finished texts: a prompt that shares a prefix with one is only read from there on.

A conversation's next prompt begins with the last one and its reply; many prompts begin with the same instructions. What is reused equals
what would be read again, up to rounding.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch

from model.inference.request import Request
from model.inference.sampling import write_tokens
from model.layers.decoding.state import KeptRow
from model.networks.decoding import DecodingNetwork, DecodingState

MOST_ROWS = 512  # rows that a prefix cache keeps
LEAST = 16  # tokens that a prompt must share for reuse to be worth the copy


class PrefixCache:
    """The rows that left last, up to `capacity` tokens and `capacity_bytes` of state together.

    reused: tokens of prompts that were not read again.
    """

    def __init__(self, capacity: int, capacity_bytes: int = 1 << 28) -> None:
        self.capacity, self.capacity_bytes, self.reused = capacity, capacity_bytes, 0
        self._kept: OrderedDict[int, tuple[np.ndarray, KeptRow]] = OrderedDict()
        self._tokens = self.held_bytes = self._numbered = 0

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, tokens: Sequence[int], state: DecodingState, row: int) -> None:
        """Keep a copy of a row that has read `tokens`; the ones used longest ago make room."""
        if not LEAST <= len(tokens) <= self.capacity:
            return
        read = np.array(tokens, dtype=np.int64)
        for number, (known, _) in list(self._kept.items()):
            shared = _shared(known, read)
            if shared == len(read):
                self._kept.move_to_end(number)
                return
            # A row that can be cut also contains the state of each of its prefixes.
            if shared == len(known) and state.cuts:
                self._drop(number)
        kept = state.keep(row)
        if kept.size_bytes > self.capacity_bytes:
            return
        # Each prompt is compared with every row, so their number is bounded, too.
        while self._kept and (
            self._tokens + len(read) > self.capacity
            or self.held_bytes + kept.size_bytes > self.capacity_bytes
            or len(self._kept) >= MOST_ROWS
        ):
            self._drop(next(iter(self._kept)))
        self._kept[self._numbered] = (read, kept)
        self._numbered += 1
        self._tokens += len(read)
        self.held_bytes += kept.size_bytes

    def find(self, prompt: Sequence[int], *, cuts: bool) -> tuple[KeptRow, int] | None:
        """Return the kept row that shares most with a prompt and how many tokens that is, short of the last; None if too few."""
        wanted = np.array(prompt[:-1], dtype=np.int64)
        best, most = None, LEAST - 1
        for number, (known, kept) in self._kept.items():
            shared = _shared(known, wanted)
            if shared > most and (cuts or shared == kept.length):
                best, most = number, shared
        if best is None:
            return None
        self._kept.move_to_end(best)
        self.reused += most
        return self._kept[best][1], most

    def _drop(self, number: int) -> None:
        known, kept = self._kept.pop(number)
        self._tokens -= len(known)
        self.held_bytes -= kept.size_bytes


def _shared(one: np.ndarray, other: np.ndarray) -> int:
    """Return how many tokens two texts begin with alike."""
    length = min(len(one), len(other))
    differs = one[:length] != other[:length]
    return int(differs.argmax()) if differs.any() else length


READ_AT_ONCE = 8192  # tokens of prompts in one pass, padding included


class Batch:
    """The requests at work, one a row of the network's state. `prefixes`: where rows that leave are kept, and prompts begin.

    proposed, accepted: tokens of a draft so far.
    """

    proposed = accepted = 0

    _reread = 0  # tokens at the end of a reused prefix that are read again

    def __init__(self, network: DecodingNetwork, prefixes: PrefixCache | None = None) -> None:
        # Of a prompt that is one whole nothing that was read for another one can be reused.
        self._network, self._state = network, network.new_state()
        self._prefixes = None if network.config.reads_prompts else prefixes
        self.requests: list[Request] = []

    def join(self, requests: Sequence[Request]) -> list[Request]:
        """Read the prompts and write the first token of each reply; return the requests that are finished with it."""
        finished: list[Request] = []
        for together in _divided(requests):
            first = len(self.requests)
            read = [self._begin(request) for request in together]
            self.requests += together
            unread = [list(request.prompt[length:]) for request, length in zip(together, read, strict=True)]
            longest = max(map(len, unread))
            finished += self._advance([[*tokens, *[0] * (longest - len(tokens))] for tokens in unread], list(map(len, unread)), first)
        return finished

    def step(self) -> list[Request]:
        """Write one more token of each reply, or several; return the requests that are finished with it."""
        if not self.requests:
            return []
        return self._advance([[request.tokens[-1]] for request in self.requests], [1] * len(self.requests), 0)

    def leave(self, request: Request) -> None:
        """Remove a request before it is finished."""
        self._remove(self.requests.index(request))

    def _begin(self, request: Request) -> int:
        """Give a request a row; return how many tokens of its prompt the row holds already."""
        found = self._prefixes.find(request.prompt, cuts=self._state.cuts) if self._prefixes is not None else None
        if found is None or self._prefixes is None:
            self._state.add(1)
            return 0
        kept, length = found[0], found[1] - self._reread
        self._state.restore(kept, length)
        self._prefixes.reused -= self._reread
        request.reused = length
        return length

    def _advance(self, tokens: list[list[int]], counts: list[int], first: int) -> list[Request]:
        logits_NV = self._network.step(torch.tensor(tokens, device=self._network.device), counts, self._state, first)
        write_tokens(logits_NV, self.requests[first:])
        return self._release(first)

    def _release(self, first: int) -> list[Request]:
        """Remove and return the finished requests."""
        finished = []
        # From the end: a row that moves into a gap has already been checked.
        for row in range(len(self.requests) - 1, first - 1, -1):
            if self.requests[row].finished:
                finished.append(self.requests[row])
                self._remove(row)
        return finished[::-1]

    def _remove(self, row: int) -> None:
        request = self.requests[row]
        if self._prefixes is not None and not request.fault:
            read = [*request.prompt, *request.tokens][: self._state.lengths[row]]
            self._prefixes.add(read, self._state, row)
        self._state.remove(row)
        self.requests[row] = self.requests[-1]
        self.requests.pop()


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
