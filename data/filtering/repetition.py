"""Measures Gopher's repetition rules (Rae et al. 2021, arXiv:2112.11446, table A1) over many documents at once.

A repeated n-gram consists of repeated shorter ones, so each size is searched only where the previous size was repeated. Words, lines and
n-grams are compared by 64-bit hashes (`segmentation`). Runs at about 20 MB/s on one core, in numpy sorts that let other threads run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.filtering.published import REPEATED_SIZES, TOP_SIZES
from data.filtering.segmentation import Int64s, Segmentation, UInt64s, Units

Shares = NDArray[np.float64]
_TIMES = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class EqualGroups:
    """Groups of at least two equal hashes: the indices of their members, group after group, and the size of each group."""

    member_M: Int64s
    size_G: Int64s

    @property
    def start_G(self) -> Int64s:
        """The begin of each group in `member_M`."""
        found: Int64s = np.cumsum(self.size_G) - self.size_G
        return found

    def least_G(self, value: Int64s) -> Int64s:
        """Return the minimum of `value` over the members of each group."""
        found: Int64s = np.minimum.reduceat(value[self.member_M], self.start_G) if len(self.size_G) else np.empty(0, np.int64)
        return found


def group_equal(hashes: UInt64s) -> EqualGroups:
    """Group equal hashes; groups and their members come in any order."""
    order = np.argsort(hashes)
    rising = hashes[order]
    start = np.flatnonzero(np.append(True, rising[1:] != rising[:-1])[: len(order)])
    times = np.diff(np.append(start, len(order)))
    return EqualGroups(order[np.repeat(times > 1, times)], times[times > 1])


def measure_repetition(part: Segmentation) -> Shares:
    """Return a row for each rule, in the order of `heuristics.gopher_repetition`, and a column for each document; NaN for empty ones."""
    with np.errstate(invalid="ignore"):
        lines, paragraphs = duplicate_shares(part.lines, len(part.n_D)), duplicate_shares(part.paragraphs, len(part.n_D))
        found: Shares = np.stack([lines[0], paragraphs[0], lines[1], paragraphs[1], *ngram_shares(part)])
    return found


def duplicate_shares(units: Units, documents: int) -> tuple[Shares, Shares]:
    """Return the shares of units, and of their characters, that occur earlier in their document."""
    found = group_equal(units.hash_P)
    repeated_P = np.zeros(len(units.hash_P), np.int64)
    repeated_P[found.member_M] = 1
    repeated_P[found.member_M[found.start_G]] = 0  # Equal units have equal sizes, so the choice of the first does not matter.

    def share(value_P: Int64s) -> Shares:
        total_D = np.bincount(units.document_P, value_P, documents)
        result: Shares = np.bincount(units.document_P, value_P * repeated_P, documents) / total_D
        return result

    return share(np.ones_like(repeated_P)), share(units.size_P)


def ngram_shares(part: Segmentation) -> list[Shares]:
    """Return the shares of characters in the most frequent n-gram, for TOP_SIZES, and in repeated n-grams, for REPEATED_SIZES."""
    words = part.words
    total_D = part.characters(np.ones(len(words.size_P), bool))
    end_W = part.first_word_D[1:][words.document_P]
    start_C, hash_C, found = np.arange(len(end_W)), words.hash_P, list[Shares]()
    for size in range(2, REPEATED_SIZES[-1] + 1):
        whole_C = start_C + size <= end_W[start_C]
        if size > 2:
            whole_C[:-1] &= np.diff(start_C) == 1  # An n-gram is repeated only if both shorter ones in it are.
            whole_C[-1:] = False
        start_C = start_C[whole_C]
        hash_C = hash_C[whole_C] * _TIMES + words.hash_P[start_C + size - 1]
        groups = group_equal(hash_C)
        start_O = _most_frequent(part, start_C, groups, size) if size in TOP_SIZES else _repeats(start_C, groups)
        covered_W = np.zeros(len(end_W), bool)
        for offset in range(size):
            covered_W[start_O + offset] = True
        found.append(part.characters(covered_W) / total_D)
        repeated_C = np.zeros(len(start_C), bool)
        repeated_C[groups.member_M] = True
        start_C, hash_C = start_C[repeated_C], hash_C[repeated_C]
    return found


def _repeats(start_C: Int64s, groups: EqualGroups) -> Int64s:
    """Return the starts of n-grams that occur earlier."""
    after_M = start_C[groups.member_M] > np.repeat(groups.least_G(start_C), groups.size_G)
    found: Int64s = start_C[groups.member_M[after_M]]
    return found


def _most_frequent(part: Segmentation, start_C: Int64s, groups: EqualGroups, size: int) -> Int64s:
    """Return the starts of each document's most frequent n-gram; of equally frequent ones the longest, and of these the first."""
    first_G = groups.least_G(start_C)
    document_G = part.words.document_P[first_G]
    most_D = np.zeros(len(part.n_D), np.int64)
    np.maximum.at(most_D, document_G, groups.size_G)
    best_G = np.flatnonzero(groups.size_G == most_D[document_G])
    length_G = sum((part.words.size_P[first_G[best_G] + offset] for offset in range(size)), np.zeros(len(best_G), np.int64))
    best_G = best_G[np.lexsort((first_G[best_G], -length_G, document_G[best_G]))]
    best_G = best_G[np.flatnonzero(np.append(True, np.diff(document_G[best_G]) > 0)[: len(best_G)])]
    chosen_G = np.zeros(len(first_G), bool)
    chosen_G[best_G] = True
    found: Int64s = start_C[groups.member_M[np.repeat(chosen_G, groups.size_G)]]
    return found
