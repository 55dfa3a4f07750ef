"""An n-gram model with interpolated, modified Kneser-Ney smoothing (Chen and Goodman, 1999), over whole arrays.

Training targets and those to be scored are numbered together, so no n-gram is ever looked up: with k tokens, an n-gram is numbered by the
number of its context and its last token, a context by the number of the shorter context and the token before that. Counting is then one
sort of 64-bit keys an order for n-grams, and one for contexts.

An n-gram of the highest order counts as often as it occurs, and so does one that begins with `<|bos|>`, since nothing precedes that; any
other counts the different tokens that precede it, where the beginning of a row inside a document is one of them. A target near the
beginning of its row is predicted by the order that its context has. Discounts follow from the counts of counts of each order; where those
give none between 0 and the count, as in very small texts, they are 0.5, 1 and 1.5. Unigrams back off to a uniform distribution over
the vocabulary, the support of a model's softmax.

Cost for N targets: 2 x order sorts of N keys; about 80 bytes of memory for each.

The targets of packed rows with the tokens before them, as whole arrays.

Only tokens of the same row and document count, as a model with attention within documents sees them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.shards.reader import ShardReader

Numbers = NDArray[np.integer[Any]]
ROWS_AT_ONCE = 16_384


@dataclass(frozen=True)
class Targets:
    """Targets in the order of their rows.

    `tokens`: all tokens of the rows, flat. `at`: where each target stands in it. `before`: how many tokens of its document precede each
    target in its row. `row`: the row of each target, from 0. `rows`: their number.
    """

    tokens: Numbers
    at: Numbers
    before: Numbers
    row: Numbers
    rows: int

    @property
    def ids(self) -> Numbers:
        """The targets' own tokens."""
        return self.tokens[self.at]

    def preceding(self, distance: int, absent: int) -> Numbers:
        """Return the token `distance` before each target, or `absent` where its document does not reach that far back; int64."""
        found = np.full(len(self.at), absent, dtype=np.int64)
        reaches = self.before >= distance
        found[reaches] = self.tokens[self.at[reaches] - distance]
        return found


def targets_of(tokens_RW: Numbers, document_RW: Numbers, loss_RW: NDArray[np.bool_]) -> Targets:
    """Return the targets of rows, each array [rows, positions]."""
    rows, width = tokens_RW.shape
    position = np.arange(rows * width, dtype=np.int64)
    begins = np.ones((rows, width), dtype=np.bool_)
    begins[:, 1:] = document_RW[:, 1:] != document_RW[:, :-1]
    first = np.maximum.accumulate(np.where(begins.reshape(-1), position, 0))
    at = np.flatnonzero(loss_RW)
    return Targets(tokens_RW.reshape(-1).astype(np.int32), at, (at - first[at]).astype(np.int32), (at // width).astype(np.int32), rows)


def read_targets(reader: ShardReader, rows: Numbers) -> Targets:
    """Return the targets of these rows of a split."""
    parts = []
    for start in range(0, len(rows), ROWS_AT_ONCE):
        read = reader.rows(rows[start : start + ROWS_AT_ONCE])
        parts.append(targets_of(read["tokens"], read["document"], read["loss"]))
    return joined(parts)


def joined(parts: Sequence[Targets]) -> Targets:
    """Return the targets of all parts, one after the other, with rows and positions numbered through."""
    if len(parts) == 1:
        return parts[0]
    offsets = np.cumsum([0, *(len(part.tokens) for part in parts[:-1])])
    rows = np.cumsum([0, *(part.rows for part in parts[:-1])])
    return Targets(
        np.concatenate([part.tokens for part in parts]),
        np.concatenate([part.at + offset for part, offset in zip(parts, offsets, strict=True)]),
        np.concatenate([part.before for part in parts]),
        np.concatenate([part.row + first for part, first in zip(parts, rows, strict=True)]),
        sum(part.rows for part in parts),
    )


Floats = NDArray[np.float64]
DISCOUNTS = (0.5, 1.0, 1.5)


@dataclass(frozen=True)
class Grams:
    """The n-grams of one order: the number of each target's n-gram and context, and one representative target per n-gram."""

    number: Numbers
    context: Numbers
    example: Numbers
    contexts: int


def kneser_ney(train: Targets, scored: Targets, *, vocab_size: int, order: int, beginning: int) -> Floats:
    """Return the nats that each scored target costs a model counted on `train`; float64 [targets].

    `beginning`: the token that documents begin with. Raise ValueError if nothing is counted.
    """
    if not len(train.at):
        raise ValueError("the training rows hold no target, so no n-gram can be counted")
    both = joined([train, scored])
    seen = np.arange(len(both.at)) < len(train.at)
    probability = np.full(len(scored.at), 1 / vocab_size)
    grams = _unigrams(both, vocab_size)
    for length in range(1, order + 1):
        longer = _longer(both, grams, length + 1, vocab_size) if length < order else None
        probability = _interpolated(both, seen, grams, longer, length, beginning, probability)
        if longer is not None:
            grams = longer
    nats: Floats = -np.log(probability)
    return nats


def row_sums(targets: Targets, nats: Floats) -> tuple[Floats, Floats]:
    """Return the summed nats and the number of targets of each row; float64 [rows]."""
    sums: Floats = np.bincount(targets.row, nats, targets.rows).astype(np.float64)
    counts: Floats = np.bincount(targets.row, minlength=targets.rows).astype(np.float64)
    return sums, counts


def _unigrams(targets: Targets, vocab_size: int) -> Grams:
    number, example, _ = _numbered(targets.ids.astype(np.int64))
    return Grams(number, np.zeros(len(number), dtype=np.int32), example, 1)


def _longer(targets: Targets, shorter: Grams, length: int, vocab_size: int) -> Grams:
    """Return the n-grams that are one token longer, to the left."""
    before = targets.preceding(length - 1, absent=vocab_size)
    context, _, contexts = _numbered(shorter.context.astype(np.int64) * (vocab_size + 1) + before)
    number, example, _ = _numbered(context.astype(np.int64) * vocab_size + targets.ids)
    return Grams(number, context, example, contexts)


def _numbered(keys: NDArray[np.int64]) -> tuple[Numbers, Numbers, int]:
    """Return the number of each key among the distinct keys, the index of one occurrence of each, and their count."""
    order = np.argsort(keys)
    ascending = keys[order]
    new = np.ones(len(keys), dtype=np.bool_)
    new[1:] = ascending[1:] != ascending[:-1]
    number = np.empty(len(keys), dtype=np.int32)
    number[order] = np.cumsum(new, dtype=np.int32) - 1
    example = order[new]
    return number, example, len(example)


def _interpolated(
    targets: Targets, seen: NDArray[np.bool_], grams: Grams, longer: Grams | None, length: int, beginning: int, lower: Floats
) -> Floats:
    """Return the probabilities of the scored targets by n-grams of `length`, given those by shorter ones."""
    context = grams.context[grams.example]
    counts = _counts(targets, seen, grams, longer, length, beginning)
    # Skip a context that would reach beyond the beginning of a row; the shorter ones are used instead.
    counts[targets.before[grams.example] < length - 1] = 0
    discounts = np.array([0.0, *_discounts(counts)])
    level = np.minimum(counts, 3)
    total = np.bincount(context, counts, grams.contexts)
    kept_back = np.bincount(context, discounts[level], grams.contexts)
    number, here = grams.number[~seen], grams.context[~seen]
    count, whole = counts[number], total[here]
    known = whole > 0
    divisor = np.where(known, whole, 1.0)
    own = (count - discounts[np.minimum(count, 3)]) / divisor
    return np.where(known, own + kept_back[here] / divisor * lower, lower)


def _counts(
    targets: Targets, seen: NDArray[np.bool_], grams: Grams, longer: Grams | None, length: int, beginning: int
) -> NDArray[np.int64]:
    """Return what each n-gram counts in training."""
    occurrences = np.bincount(grams.number[seen], minlength=len(grams.example))
    if longer is None:
        return occurrences
    occurs = np.bincount(longer.number[seen], minlength=len(longer.example)) > 0
    preceded = np.bincount(grams.number[longer.example[occurs]], minlength=len(grams.example))
    if length == 1:
        return preceded
    first = targets.preceding(length - 1, absent=-1)[grams.example]
    return np.where(first == beginning, occurrences, preceded)


def _discounts(counts: NDArray[np.int64]) -> tuple[float, float, float]:
    """Return the discounts for counts of 1, of 2, and of 3 or more."""
    one, two, three, four = (int(np.count_nonzero(counts == count)) for count in (1, 2, 3, 4))
    if not (one and two and three):
        return DISCOUNTS
    share = one / (one + 2 * two)
    found = (1 - 2 * share * two / one, 2 - 3 * share * three / two, 3 - 4 * share * four / three)
    return found if all(0 <= discount <= count for count, discount in enumerate(found, start=1)) else DISCOUNTS
