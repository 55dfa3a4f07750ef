"""Fits the pieces of a unigram tokenizer and their probabilities, by expectation maximization (Kudo 2018, arXiv:1804.10959, section 3.2).

Frequent and long substrings of the sample's words are the first pieces. Then two steps alternate until the size is reached: expected counts
over all segmentations of all words (forward-backward) become probabilities, and the pieces that the likelihood depends on least are
removed. Single characters of the alphabet always stay.
Equal words give equal pieces, whatever the threads and the order of the words: sums are taken in a fixed order. The library's own trainer
sums in the order of a hash table, and gives other pieces each time.
Only the 200,000 most frequent words of the sample are used, each cut into runs of 32 characters; about 10 s for 100,000 words. Words with
fewer distinct substrings than asked for give fewer pieces.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_WORDS, LONGEST_WORD = 200_000, 32
SEEDS_A_PIECE, LEAST_SEEDS = 10, 20_000
SHRINK, ROUNDS = 0.7, 2
LEAST_COUNT = 0.5  # a piece with a smaller expected count is removed (as in SentencePiece)
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass
class Lattice:
    """All pieces within words of one length L: `arcs_NLK` is the piece of length k + 1 that begins at a position, or -1."""

    arcs_NLK: NDArray[np.int32]
    weight_N: Floats


def fit_unigram(words: Mapping[str, int], known: Sequence[str], size: int, longest: int, min_frequency: int) -> list[tuple[str, float]]:
    """Return at most `size` pieces with the logarithms of their probabilities, the most probable first."""
    ordered = sorted(words, key=lambda word: (-words[word], word))[:MOST_WORDS]
    cut: Counter[str] = Counter()
    for word in ordered:
        for start in range(0, len(word), LONGEST_WORD):
            cut[word[start : start + LONGEST_WORD]] += words[word]
    pieces, chance = _seeds(cut, known, max(SEEDS_A_PIECE * size, LEAST_SEEDS), longest, min_frequency)
    if not pieces or size < 1:
        return []
    kept = frozenset(known)
    lattices = _lattices(cut, {piece: index for index, piece in enumerate(pieces)}, longest)
    spellings = _lattices(dict.fromkeys(pieces, 1), {piece: index for index, piece in enumerate(pieces)}, longest)
    while True:
        for _ in range(ROUNDS):
            expected = _expected(lattices, chance)
            keep = expected >= LEAST_COUNT
            keep |= np.array([piece in kept for piece in pieces])
            chance = np.maximum(expected, LEAST_COUNT) * keep
            chance /= chance.sum()
            pieces, chance = _prune(pieces, chance, keep, (lattices, spellings))
        if len(pieces) <= size:
            break
        loss = _losses(spellings, chance, expected[keep], len(pieces))
        loss[[piece in kept for piece in pieces]] = math.inf
        best = np.lexsort((np.arange(len(pieces)), -loss))[: max(size, int(SHRINK * len(pieces)))]
        keep = np.zeros(len(pieces), dtype=np.bool_)
        keep[best] = True
        pieces, chance = _prune(pieces, chance, keep, (lattices, spellings))
        chance /= chance.sum()
    order = sorted(range(len(pieces)), key=lambda index: (-chance[index], pieces[index]))
    # Six digits, since the last bits of a logarithm differ between processors.
    return [(pieces[index], round(math.log(chance[index]), 6)) for index in order]


def _seeds(words: Mapping[str, int], known: Sequence[str], most: int, longest: int, min_frequency: int) -> tuple[list[str], Floats]:
    """Return frequent substrings, weighted by count x length, and the characters of the alphabet."""
    counts: defaultdict[str, int] = defaultdict(int)
    for word, weight in words.items():
        for start in range(len(word)):
            for end in range(start + 1, min(start + longest, len(word)) + 1):
                counts[word[start:end]] += weight
    frequent = ((count * len(piece), piece) for piece, count in counts.items() if len(piece) > 1 and count >= min_frequency)
    chosen = sorted(frequent, key=lambda one: (-one[0], one[1]))[:most]
    weights = {piece: weight for weight, piece in chosen} | {character: max(1, counts.get(character, 0)) for character in known}
    pieces = sorted(weights)
    chance = np.array([weights[piece] for piece in pieces], dtype=np.float64)
    return pieces, chance / max(chance.sum(), 1.0)


def _lattices(words: Mapping[str, int], index_of: Mapping[str, int], longest: int) -> list[Lattice]:
    by_length: defaultdict[int, list[str]] = defaultdict(list)
    for word in sorted(words):
        by_length[len(word)].append(word)
    lattices = []
    for length, group in sorted(by_length.items()):
        most = min(longest, length)
        arcs = np.array(
            [
                [
                    [index_of.get(word[start : start + span], -1) if start + span <= length else -1 for span in range(1, most + 1)]
                    for start in range(length)
                ]
                for word in group
            ],
            dtype=np.int32,
        )
        lattices.append(Lattice(arcs, np.array([words[word] for word in group], dtype=np.float64)))
    return lattices


def _with_zero(chance: Floats) -> Floats:
    """Append a probability of 0, which index -1 refers to."""
    return np.append(chance, 0.0)


def _expected(lattices: Sequence[Lattice], chance: Floats) -> Floats:
    """Return the expected uses of each piece over all segmentations of the weighted words."""
    padded = _with_zero(chance)
    expected = np.zeros(len(padded))
    for lattice in lattices:
        p_NLK = padded[lattice.arcs_NLK]
        count, length, most = p_NLK.shape
        forward, backward = np.zeros((length + 1, count)), np.zeros((length + 1, count))
        forward[0] = backward[length] = 1.0
        for end in range(1, length + 1):
            for span in range(1, min(end, most) + 1):
                forward[end] += forward[end - span] * p_NLK[:, end - span, span - 1]
        for start in range(length - 1, -1, -1):
            for span in range(1, min(length - start, most) + 1):
                backward[start] += backward[start + span] * p_NLK[:, start, span - 1]
        whole = forward[length]
        scale = np.divide(lattice.weight_N, whole, out=np.zeros(count), where=whole > 0)
        for start in range(length):
            for span in range(1, min(length - start, most) + 1):
                used = forward[start] * p_NLK[:, start, span - 1] * backward[start + span] * scale
                expected += np.bincount(lattice.arcs_NLK[:, start, span - 1] % len(padded), weights=used, minlength=len(padded))
    return expected[:-1]


def _losses(spellings: Sequence[Lattice], chance: Floats, expected: Floats, count: int) -> Floats:
    """Return the likelihood lost without each piece: expected count x (its log probability - that of its best other spelling)."""
    with np.errstate(divide="ignore"):
        logs = np.log(_with_zero(chance))
    loss = np.zeros(count)
    for lattice in spellings:
        log_NLK = logs[lattice.arcs_NLK]
        rows, length, most = log_NLK.shape
        whole = lattice.arcs_NLK[:, 0, length - 1] if length <= most else None
        if whole is None or length == 1:
            continue
        best = np.full((length + 1, rows), -np.inf)
        best[0] = 0.0
        for end in range(1, length + 1):
            for span in range(1, min(end, length - 1) + 1):
                best[end] = np.maximum(best[end], best[end - span] + log_NLK[:, end - span, span - 1])
        there = whole >= 0
        indices = whole[there]
        loss[indices] = expected[indices] * (logs[indices] - best[length][there])
    return loss


def _prune(
    pieces: list[str], chance: Floats, keep: NDArray[np.bool_], groups: tuple[list[Lattice], list[Lattice]]
) -> tuple[list[str], Floats]:
    """Return the kept pieces with their probabilities, and renumber the lattices accordingly."""
    if keep.all():
        return pieces, chance
    moved: NDArray[Any] = np.append(np.where(keep, np.cumsum(keep) - 1, -1), -1).astype(np.int32)
    for lattices in groups:
        for lattice in lattices:
            lattice.arcs_NLK = moved[lattice.arcs_NLK]
    return [piece for piece, stays in zip(pieces, keep, strict=True) if stays], chance[keep]
