"""Aligns the words of a true text with a cleaned one's.

Runs of four words that occur once in both texts are anchors, as in patience diff; difflib compares what lies between them, so a book takes
milliseconds. A gap too long for difflib stays unaligned.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from difflib import SequenceMatcher

RUN = 4
LONGEST_GAP = 4_000_000  # product of the numbers of words in the two texts


def align(truth: list[str], found: list[str]) -> list[int]:
    """Return for each word of `truth` the index of the same word in `found`, or -1. Indices ascend."""
    matched = [-1] * len(truth)
    at, there = 0, 0
    for left, right in [*_anchors(truth, found), (len(truth), len(found))]:
        _fill(truth, found, at, left, there, right, matched)
        if left < len(truth):
            for step in range(RUN):
                matched[left + step] = right + step
        at, there = left + RUN, right + RUN
    return matched


def _anchors(truth: list[str], found: list[str]) -> list[tuple[int, int]]:
    """Return positions of runs of RUN words that are unique in both texts, ascending in both and without overlap."""
    in_truth, in_found = _unique_runs(truth), _unique_runs(found)
    pairs = sorted((at, in_found[run]) for run, at in in_truth.items() if run in in_found)
    # The longest ascending subsequence, by patience sorting.
    tails: list[int] = []
    ends: list[int] = []
    before = [-1] * len(pairs)
    for index, (_, right) in enumerate(pairs):
        pile = bisect_left(tails, right)
        before[index] = ends[pile - 1] if pile else -1
        tails[pile : pile + 1] = [right]
        ends[pile : pile + 1] = [index]
    chain: list[tuple[int, int]] = []
    index = ends[-1] if ends else -1
    while index >= 0:
        chain.append(pairs[index])
        index = before[index]
    kept: list[tuple[int, int]] = []
    for left, right in reversed(chain):
        if not kept or (left >= kept[-1][0] + RUN and right >= kept[-1][1] + RUN):
            kept.append((left, right))
    return kept


def _unique_runs(words: list[str]) -> dict[tuple[str, ...], int]:
    runs = [tuple(words[at : at + RUN]) for at in range(len(words) - RUN + 1)]
    count = Counter(runs)
    return {run: at for at, run in enumerate(runs) if count[run] == 1}


def _fill(truth: list[str], found: list[str], at: int, left: int, there: int, right: int, matched: list[int]) -> None:
    """Align truth[at:left] with found[there:right] and enter the result in `matched`."""
    if at >= left or there >= right or (left - at) * (right - there) > LONGEST_GAP:
        return
    if truth[at:left] == found[there:right]:
        matched[at:left] = range(there, right)
        return
    blocks = SequenceMatcher(None, truth[at:left], found[there:right], autojunk=False).get_matching_blocks()
    for one, other, size in blocks:
        matched[at + one : at + one + size] = range(there + other, there + other + size)
