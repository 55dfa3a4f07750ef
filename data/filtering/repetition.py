"""Gopher's rules of repetition (Rae et al. 2021, arXiv:2112.11446, table A1), measured over many documents at once.

A run of words that comes twice is made of shorter ones that do: each size is looked for only where the size before it was found twice.
Guarantees: what `data.filtering.published.GopherRepetition` says; words, lines and runs are compared by 64 bits (`data.filtering.segmentation`).
Costs about 20 MB/s on one core, and sorts arrays of numpy, which lets other threads go on.
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
    """What comes more than once: groups of equal hashes, one after the other; the index of each member, how many make a group."""

    member_M: Int64s
    times_G: Int64s

    @property
    def start_G(self) -> Int64s:
        """Where each group begins."""
        found: Int64s = np.cumsum(self.times_G) - self.times_G
        return found

    def least_G(self, value: Int64s) -> Int64s:
        """The least value of each group's members; `value` is by index."""
        found: Int64s = np.minimum.reduceat(value[self.member_M], self.start_G) if len(self.times_G) else np.empty(0, np.int64)
        return found


def group_equal(hashes: UInt64s) -> EqualGroups:
    """Groups of equal hashes; members of a group and groups come in any order."""
    order = np.argsort(hashes)
    rising = hashes[order]
    start = np.flatnonzero(np.append(True, rising[1:] != rising[:-1])[: len(order)])
    times = np.diff(np.append(start, len(order)))
    return EqualGroups(order[np.repeat(times > 1, times)], times[times > 1])


def measure_repetition(part: Segmentation) -> Shares:
    """A row a rule, in the order of `heuristics.gopher_repetition`, a column a document; NaN where there is nothing to divide by."""
    with np.errstate(invalid="ignore"):
        lines, paragraphs = duplicate_shares(part.lines, len(part.n_D)), duplicate_shares(part.paragraphs, len(part.n_D))
        found: Shares = np.stack([lines[0], paragraphs[0], lines[1], paragraphs[1], *ngram_shares(part)])
    return found


def duplicate_shares(pieces: Units, documents: int) -> tuple[Shares, Shares]:
    """Shares of pieces, and of their characters, that came before in their document."""
    found = group_equal(pieces.hash_P)
    again_P = np.zeros(len(pieces.hash_P), np.int64)
    again_P[found.member_M] = 1
    again_P[found.member_M[found.start_G]] = 0  # Equal pieces have one size: it doesn't matter which of them is the first.

    def share(value_P: Int64s) -> Shares:
        total_D = np.bincount(pieces.document_P, value_P, documents)
        result: Shares = np.bincount(pieces.document_P, value_P * again_P, documents) / total_D
        return result

    return share(np.ones_like(again_P)), share(pieces.size_P)


def ngram_shares(part: Segmentation) -> list[Shares]:
    """Shares of characters in the most frequent run of words, of the TOP_SIZES, and in runs that came before, of the REPEATED_SIZES."""
    words = part.words
    total_D = part.characters(np.ones(len(words.size_P), bool))
    end_W = part.first_word_D[1:][words.document_P]
    place_C, hash_C, found = np.arange(len(end_W)), words.hash_P, list[Shares]()
    for size in range(2, REPEATED_SIZES[-1] + 1):
        whole_C = place_C + size <= end_W[place_C]
        if size > 2:
            whole_C[:-1] &= np.diff(place_C) == 1  # The run a word further on comes twice as well.
            whole_C[-1:] = False
        place_C = place_C[whole_C]
        hash_C = hash_C[whole_C] * _TIMES + words.hash_P[place_C + size - 1]
        groups = group_equal(hash_C)
        start_O = _top(part, place_C, groups, size) if size in TOP_SIZES else _again(place_C, groups)
        covered_W = np.zeros(len(end_W), bool)
        for further in range(size):
            covered_W[start_O + further] = True
        found.append(part.characters(covered_W) / total_D)
        twice_C = np.zeros(len(place_C), bool)
        twice_C[groups.member_M] = True
        place_C, hash_C = place_C[twice_C], hash_C[twice_C]
    return found


def _again(place_C: Int64s, groups: EqualGroups) -> Int64s:
    """Where runs stand that came before."""
    after_M = place_C[groups.member_M] > np.repeat(groups.least_G(place_C), groups.times_G)
    found: Int64s = place_C[groups.member_M[after_M]]
    return found


def _top(part: Segmentation, place_C: Int64s, groups: EqualGroups, size: int) -> Int64s:
    """Where the most frequent run of each document stands; of equally frequent ones the longest, and of these the first."""
    first_G = groups.least_G(place_C)
    document_G = part.words.document_P[first_G]
    most_D = np.zeros(len(part.n_D), np.int64)
    np.maximum.at(most_D, document_G, groups.times_G)
    best_G = np.flatnonzero(groups.times_G == most_D[document_G])
    length_G = sum((part.words.size_P[first_G[best_G] + further] for further in range(size)), np.zeros(len(best_G), np.int64))
    best_G = best_G[np.lexsort((first_G[best_G], -length_G, document_G[best_G]))]
    best_G = best_G[np.flatnonzero(np.append(True, np.diff(document_G[best_G]) > 0)[: len(best_G)])]
    chosen_G = np.zeros(len(first_G), bool)
    chosen_G[best_G] = True
    found: Int64s = place_C[groups.member_M[np.repeat(chosen_G, groups.times_G)]]
    return found
