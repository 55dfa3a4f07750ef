"""Interpolated modified Kneser-Ney as Chen and Goodman (1999) write it, with dictionaries, one n-gram at a time."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from math import log

Gram = tuple[int, ...]
ROW = -1
"""Precedes the first token of a row that begins inside a document."""


class SlowKneserNey:
    """A model counted on segments: the tokens of one document in one row, of which all but the first are predicted."""

    def __init__(self, segments: Sequence[Sequence[int]], *, order: int, vocab_size: int, beginning: int) -> None:
        self.order, self.vocab_size, self.beginning = order, vocab_size, beginning
        occurs: Counter[Gram] = Counter()
        before: defaultdict[Gram, set[int]] = defaultdict(set)
        for segment in segments:
            for end in range(1, len(segment)):
                for length in range(1, order + 1):
                    start = end - length + 1
                    if start >= 0:
                        gram = tuple(segment[start : end + 1])
                        occurs[gram] += 1
                        before[gram].add(segment[start - 1] if start else ROW)
        self.counts = {
            gram: occurs[gram] if len(gram) == order or (len(gram) > 1 and gram[0] == beginning) else len(before[gram]) for gram in occurs
        }
        self.followers: defaultdict[Gram, list[Gram]] = defaultdict(list)
        for gram in self.counts:
            self.followers[gram[:-1]].append(gram)
        self.discounts = [self._discounts(length) for length in range(1, order + 1)]

    def _discounts(self, length: int) -> tuple[float, float, float]:
        of = Counter(count for gram, count in self.counts.items() if len(gram) == length)
        if not (of[1] and of[2] and of[3]):
            return 0.5, 1.0, 1.5
        y = of[1] / (of[1] + 2 * of[2])
        found = 1 - 2 * y * of[2] / of[1], 2 - 3 * y * of[3] / of[2], 3 - 4 * y * of[4] / of[3]
        return found if all(0 < d <= n + 1 for n, d in enumerate(found)) else (0.5, 1.0, 1.5)

    def probability(self, context: Gram, token: int) -> float:
        """P(token | context), by the longest part of the context that was seen."""
        lower = self.probability(context[1:], token) if context else 1 / self.vocab_size
        followers = self.followers.get(context)
        if not followers:
            return lower
        total = sum(self.counts[gram] for gram in followers)
        back = sum(self._discount(gram) for gram in followers) / total
        gram = (*context, token)
        own = (self.counts[gram] - self._discount(gram)) / total if gram in self.counts else 0.0
        return own + back * lower

    def _discount(self, gram: Gram) -> float:
        return self.discounts[len(gram) - 1][min(self.counts[gram], 3) - 1]

    def nats(self, segment: Sequence[int]) -> list[float]:
        """The cost of each token of a segment but the first."""
        contexts = [tuple(segment[max(0, end - self.order + 1) : end]) for end in range(1, len(segment))]
        return [-log(self.probability(context, token)) for context, token in zip(contexts, segment[1:], strict=True)]
