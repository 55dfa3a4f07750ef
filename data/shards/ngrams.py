"""An n-gram model with interpolated, modified Kneser-Ney smoothing (Chen and Goodman, 1999), over whole arrays.

A context is numbered by the number of the context that is one token shorter and by the token before that, an n-gram by its context and its
last token. So counting is one sort of 64-bit keys an order for n-grams and one for contexts, and what is predicted is looked up in the
sorted keys. The tables are what a network of kind `ngram` holds, and the baseline that a model is compared with makes them too.

An n-gram of the highest order counts as often as it occurs, and so does one that begins with `<|bos|>`, since nothing precedes that; any
other counts the different tokens that precede it, where the beginning of a row inside a document is one of them. A target near the
beginning of its row is predicted by the order that its context has. Discounts follow from the counts of counts of each order; where those
give none above 0 and up to the count, as in very small texts, they are 0.5, 1 and 1.5. Unigrams back off to a uniform distribution over
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


def spread(rows: int, most: int) -> NDArray[np.int64]:
    """Return the numbers of all rows, or of `most` of them, at least one, spread evenly."""
    most = max(1, most)
    return np.arange(rows, dtype=np.int64) if rows <= most else np.arange(most, dtype=np.int64) * rows // most


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
class Level:
    """The n-grams of one length that were counted, by their contexts and tokens, both ascending.

    `shorter` [C]: the number of each context without its first token, among the contexts of the level below. `first` [C]: that token; in
    the lowest level, whose only context is empty, both are 0. `starts` [C + 1]: where the n-grams of each context begin. `token` [G]: the
    last token of each n-gram. `count` [G]: what it counts, 1 or more. All int32.
    """

    shorter: Numbers
    first: Numbers
    starts: Numbers
    token: Numbers
    count: Numbers

    def shares(self) -> tuple[Floats, Floats]:
        """Return the probability of each n-gram in its context less what is kept back of it [G], and what its context keeps back [C]."""
        contexts = len(self.shorter)
        context = np.repeat(np.arange(contexts), np.diff(self.starts))
        discount = np.array([0.0, *_discounts(self.count)])[np.minimum(self.count, 3)]
        total = np.bincount(context, self.count, contexts)
        own: Floats = (self.count - discount) / total[context]
        kept_back: Floats = np.bincount(context, discount, contexts) / total
        return own, kept_back

    def contexts(self, shorter: Numbers, first: Numbers, vocab_size: int) -> NDArray[np.int64]:
        """Return the number of each context, by that of the shorter one and the token before that; -1 where either is or none was seen."""
        wanted = np.where((shorter < 0) | (first < 0), -1, shorter.astype(np.int64) * vocab_size + first)
        return _places(self.shorter.astype(np.int64) * vocab_size + self.first, wanted)

    def grams(self, context: Numbers, token: Numbers, vocab_size: int) -> NDArray[np.int64]:
        """Return the number of each n-gram, by its context and last token; -1 for one that was not seen."""
        contexts = np.repeat(np.arange(len(self.shorter), dtype=np.int64), np.diff(self.starts))
        wanted = np.where(context < 0, -1, context.astype(np.int64) * vocab_size + token)
        return _places(contexts * vocab_size + self.token, wanted)


def kneser_ney(train: Targets, scored: Targets, *, vocab_size: int, order: int, beginning: int) -> Floats:
    """Return the nats that each scored target costs a model counted on `train`; float64 [targets].

    `beginning`: the token that documents begin with. Raise ValueError if nothing is counted.
    """
    probability = np.full(len(scored.at), 1 / vocab_size)
    context = np.zeros(len(scored.at), dtype=np.int64)
    for distance, level in enumerate(count_ngrams(train, vocab_size=vocab_size, order=order, beginning=beginning)):
        if distance:
            context = level.contexts(context, scored.preceding(distance, absent=-1), vocab_size)
        own, kept_back = level.shares()
        gram, known = level.grams(context, scored.ids, vocab_size), context >= 0
        # The last entry stands for an n-gram that was not seen.
        found = np.append(own, 0.0)[gram] + kept_back[np.where(known, context, 0)] * probability if len(kept_back) else probability
        probability = np.where(known, found, probability)
    nats: Floats = -np.log(probability)
    return nats


def count_ngrams(train: Targets, *, vocab_size: int, order: int, beginning: int) -> tuple[Level, ...]:
    """Return the n-grams of each length from 1 to `order`. Raise ValueError if nothing is counted."""
    if not len(train.at):
        raise ValueError("the training rows hold no target, so no n-gram can be counted")
    grams, renumbered = _unigrams(train), np.zeros(1, dtype=np.int64)
    levels: list[Level] = []
    for length in range(1, order + 1):
        longer = _longer(train, grams, length + 1, vocab_size) if length < order else None
        # Of a context that would reach beyond the beginning of a row there is no n-gram; the shorter ones are used instead.
        whole_C, whole_G = (train.before[examples] >= length - 1 for examples in (grams.of_context, grams.example))
        shorter = renumbered[grams.below[whole_C]]
        renumbered = np.cumsum(whole_C) - 1
        example = grams.example[whole_G]
        sizes = np.bincount(renumbered[grams.context[example]], minlength=len(shorter))
        levels.append(
            Level(
                shorter=shorter.astype(np.int32),
                first=train.preceding(length - 1, absent=0)[grams.of_context[whole_C]].astype(np.int32) * (length > 1),
                starts=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32),
                token=train.ids[example].astype(np.int32),
                count=_counts(train, grams, longer, length, beginning)[whole_G].astype(np.int32),
            )
        )
        if longer is not None:
            grams = longer
    return tuple(levels)


def row_sums(targets: Targets, nats: Floats) -> tuple[Floats, Floats]:
    """Return the summed nats and the number of targets of each row; float64 [rows]."""
    sums: Floats = np.bincount(targets.row, nats, targets.rows).astype(np.float64)
    counts: Floats = np.bincount(targets.row, minlength=targets.rows).astype(np.float64)
    return sums, counts


@dataclass(frozen=True)
class _Grams:
    """The n-grams of one length: the number of each target's n-gram and context; a target of each n-gram, and of each context.

    `below`: of each context, the number of the one that is a token shorter.
    """

    number: Numbers
    context: Numbers
    example: Numbers
    of_context: Numbers
    below: Numbers


def _unigrams(targets: Targets) -> _Grams:
    number, example = _numbered(targets.ids.astype(np.int64))
    one = np.zeros(1, dtype=np.int64)
    return _Grams(number, np.zeros(len(number), dtype=np.int32), example, one, one)


def _longer(targets: Targets, shorter: _Grams, length: int, vocab_size: int) -> _Grams:
    """Return the n-grams that are one token longer, to the left."""
    before = targets.preceding(length - 1, absent=vocab_size)
    context, of_context = _numbered(shorter.context.astype(np.int64) * (vocab_size + 1) + before)
    number, example = _numbered(context.astype(np.int64) * vocab_size + targets.ids)
    return _Grams(number, context, example, of_context, shorter.context[of_context])


def _numbered(keys: NDArray[np.int64]) -> tuple[Numbers, Numbers]:
    """Return the number of each key among the distinct keys, and the index of one occurrence of each of those."""
    order = np.argsort(keys)
    ascending = keys[order]
    new = np.ones(len(keys), dtype=np.bool_)
    new[1:] = ascending[1:] != ascending[:-1]
    number = np.empty(len(keys), dtype=np.int32)
    number[order] = np.cumsum(new, dtype=np.int32) - 1
    return number, order[new]


def _places(ascending: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each key is among the distinct, ascending ones; -1 for one that is not there."""
    if not len(ascending):
        return np.full(len(wanted), -1, dtype=np.int64)
    place = np.minimum(np.searchsorted(ascending, wanted), len(ascending) - 1)
    return np.where(ascending[place] == wanted, place, -1)


def _counts(targets: Targets, grams: _Grams, longer: _Grams | None, length: int, beginning: int) -> NDArray[np.int64]:
    """Return what each n-gram counts."""
    occurrences = np.bincount(grams.number, minlength=len(grams.example))
    if longer is None:
        return occurrences
    preceded = np.bincount(grams.number[longer.example], minlength=len(grams.example))
    if length == 1:
        return preceded
    first = targets.preceding(length - 1, absent=-1)[grams.example]
    return np.where(first == beginning, occurrences, preceded)


def _discounts(counts: Numbers) -> tuple[float, float, float]:
    """Return the discounts for counts of 1, of 2, and of 3 or more."""
    one, two, three, four = (int(np.count_nonzero(counts == count)) for count in (1, 2, 3, 4))
    if not (one and two and three):
        return DISCOUNTS
    share = one / (one + 2 * two)
    found = (1 - 2 * share * two / one, 2 - 3 * share * three / two, 3 - 4 * share * four / three)
    # A discount of 0 would leave nothing for what did not follow a context, and so an infinite cost where it does.
    return found if all(0 < discount <= count for count, discount in enumerate(found, start=1)) else DISCOUNTS
