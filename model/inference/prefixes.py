"""Cached states of finished texts: a prompt that shares a prefix with one is only read from there on.

A conversation's next prompt begins with the last one and its reply; many prompts begin with the same instructions. What is reused equals
what would be read again, up to rounding.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from model.layers.decoding.kept import KeptRow
from model.networks.decoding import DecodingState

LEAST = 16  # tokens that a prompt must share for reuse to be worth the copy


class PrefixCache:
    """The rows that left last, up to `capacity` tokens together.

    reused: tokens of prompts that were not read again.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity, self.reused = capacity, 0
        self._kept: OrderedDict[int, tuple[np.ndarray, KeptRow]] = OrderedDict()
        self._tokens = self._numbered = 0

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
        while self._tokens + len(read) > self.capacity:
            self._drop(next(iter(self._kept)))
        self._kept[self._numbered] = (read, state.keep(row))
        self._numbered += 1
        self._tokens += len(read)

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
        known, _ = self._kept.pop(number)
        self._tokens -= len(known)


def _shared(one: np.ndarray, other: np.ndarray) -> int:
    """Return how many tokens two texts begin with alike."""
    length = min(len(one), len(other))
    differs = one[:length] != other[:length]
    return int(differs.argmax()) if differs.any() else length
