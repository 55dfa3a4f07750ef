"""Span corruption (Raffel et al., 2020): hide runs of tokens of a text, each behind a sentinel, and write what they were.

Of `the cat sat on the mat` with `cat` and `on the` hidden the encoder reads `the <0> sat <1> mat`, and the decoder is to write
`<0> cat <1> on the <2>`, whose last sentinel ends it. Lengths of spans and of what stands between them are drawn as uniformly random
compositions, as in T5; unlike there text may follow the last span, since otherwise the end of every document would be hidden.

Guarantee: which spans of a row are hidden follows from (seed, position of the row) alone, and positions go on from step to step; so it is
the same on any number of workers and in a resumed run. A span never leaves its document, and a document's first token is never hidden. The
loss is the summed negative log-likelihood, in nats, of all that is to be written, sentinels included.

UL2's mixture of denoisers (Tay et al., 2022): each document is corrupted by one of several ways, drawn by their weights. R, regular: short
spans, few tokens. S, sequential: one span at the end, so the network goes on from a text that it reads in both directions. X, extreme: long
spans, or many tokens. With marks a document begins with the mark of its mode, which says what is to come; they are the network's last
sentinels. Which way is drawn follows from (seed, position of the row) alone, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from data.shards.schema import document_spans
from model.networks.encoder_decoder import START
from model.networks.network import Network
from model.objectives.chunked import summed
from model.objectives.protocol import IGNORED, LOSS, POLICY, Rows, Term, as_int64
from model.seeds import row_generator

SENTINEL = 2**32  # sentinel i is SENTINEL + i until the size of the vocabulary is known
OUTSIDE = -1  # the document of padding
MODES = ("R", "S", "X")

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Spans:
    """Rows: `tokens`, `document`, `loss`, each [B, C + 1], and `position` [B].

    The first column is left out: it repeats the last of another row. Terms: `loss`, over all tokens to be written, and `accuracy`, the
    share of hidden tokens that the network finds likeliest.
    """

    density: float = 0.15
    mean_length: float = 3.0
    seed: int = 0
    most_spans: int = 99
    reads: ClassVar[tuple[str, ...]] = ("pretrain",)
    models: ClassVar[tuple[str, ...]] = ()
    terms: ClassVar[tuple[Term, ...]] = (Term(LOSS, "written", 1.0), Term("accuracy", "hidden"))

    def units(self, rows: Rows) -> dict[str, float]:
        targets = self.batch(rows)["targets"]
        return {"written": float(np.count_nonzero(targets != IGNORED)), "hidden": float(np.count_nonzero(is_hidden(targets)))}

    def globals(self, rows: Rows) -> dict[str, float]:
        return {}

    def batch(self, rows: Rows) -> dict[str, NDArray[Any]]:
        """Return `tokens` and `documents` that are read, `written` and `written_documents` of the decoder, and its `targets`."""
        tokens, documents, counted = as_int64(rows["tokens"])[:, 1:], as_int64(rows["document"])[:, 1:], rows["loss"][:, 1:]
        places = rows["position"].tolist()
        made = [self.corrupted(tokens[row], documents[row], counted[row], place) for row, place in enumerate(places)]
        read, read_documents, targets, target_documents = (list(column) for column in zip(*made, strict=True))
        first = [found[0] if len(found) else OUTSIDE for found in read_documents]
        last = [found[-1] if len(found) else begin for found, begin in zip(target_documents, first, strict=True)]
        wanted = _padded(targets, [IGNORED] * len(targets))
        before = np.full_like(wanted, START)
        before[:, 1:] = np.where(wanted[:, :-1] == IGNORED, START, wanted[:, :-1])
        # Padding of the decoder goes on with the last document: it has to see something of the encoder, and nothing sees it.
        belongs = _padded(target_documents, last)
        before[:, 1:] = np.where(belongs[:, 1:] == belongs[:, :-1], before[:, 1:], START)
        return {
            "tokens": _padded(read, [START] * len(read)),
            "documents": _padded(read_documents, [OUTSIDE] * len(read)),
            "written": before,
            "written_documents": belongs,
            "targets": wanted,
        }

    def sums(self, models: Mapping[str, Network], batch: Mapping[str, Tensor]) -> Tensor:
        network = models[POLICY]
        named = {**batch, **{name: with_sentinels(batch[name], network.vocab_size) for name in ("tokens", "written", "targets")}}

        def loss_and_hits(logits_NV: Tensor, targets_N: Tensor) -> Tensor:
            nats = functional.cross_entropy(logits_NV.float(), targets_N, ignore_index=IGNORED, reduction="sum")
            hidden_N = (targets_N >= 0) & (targets_N < network.vocab_size)
            return torch.stack([nats, ((logits_NV.detach().argmax(-1) == targets_N) & hidden_N).sum().float()])

        return summed(network, network(named).flatten(0, 1), named["targets"].flatten(), loss_and_hits)

    def corrupted(self, tokens: Ids, documents: Ids, counted: NDArray[np.bool_], position: int) -> tuple[Ids, Ids, Ids, Ids]:
        """Return what is read of a row and the document of each token, and what is to be written and its documents."""
        generator = row_generator(self.seed, position)
        read, targets = list[Ids](), list[Ids]()
        for start, end in document_spans(documents):
            number, part = documents[start : start + 1], tokens[start:end]
            if not counted[start:end].any():
                continue  # padding
            left, wanted = self._document(part, generator)
            read.append(np.stack([left, np.broadcast_to(number, left.shape)]))
            targets.append(np.stack([wanted, np.broadcast_to(number, wanted.shape)]))
        nothing = np.zeros((2, 0), dtype=np.int64)
        return (*np.concatenate([nothing, *read], axis=1), *np.concatenate([nothing, *targets], axis=1))

    def _document(self, tokens: Ids, generator: np.random.Philox) -> tuple[Ids, Ids]:
        """Return what is read of a document, and what is to be written; of a single token nothing."""
        return corrupt(tokens, generator, self.density, self.mean_length, self.most_spans)


def corrupt(tokens: Ids, generator: np.random.Philox, density: float, mean_length: float, most_spans: int) -> tuple[Ids, Ids]:
    """Return what is read of a document, and what is to be written; of a single token nothing. mean_length 0: one span at the end."""
    if len(tokens) < 2:
        return tokens, tokens[:0]
    hidden = min(max(1, round(density * len(tokens))), len(tokens) - 1)
    shown = len(tokens) - hidden
    if mean_length:
        spans = min(max(1, round(hidden / mean_length)), hidden, shown, most_spans)
        lengths = _composition(hidden, spans, generator)
        # One part more than spans, the last of which may be empty: what follows the last span.
        between = _composition(shown + 1, spans + 1, generator)
    else:
        spans, lengths, between = 1, [hidden], [shown]
    read, targets, place = list[Ids](), list[Ids](), 0
    for span in range(spans):
        begin = place + between[span]
        place = begin + lengths[span]
        sentinel = np.array([SENTINEL + span])
        read += [tokens[begin - between[span] : begin], sentinel]
        targets += [sentinel, tokens[begin:place]]
    return np.concatenate([*read, tokens[place:]]), np.concatenate([*targets, np.array([SENTINEL + spans])])


def _composition(total: int, parts: int, generator: np.random.Philox) -> list[int]:
    """Return `parts` numbers of at least 1 that add up to `total`, each way as likely."""
    order = np.argsort(generator.random_raw(total - 1), kind="stable") if total > 1 else np.zeros(0, dtype=np.int64)
    cuts = np.sort(order[: parts - 1]) + 1
    found: list[int] = np.diff(np.concatenate([[0], cuts, [total]])).tolist()
    return found


def _padded(columns: list[Ids], fill: list[int]) -> Ids:
    """Return rows of one length, at least 1, each filled with its own number."""
    width = max(1, *(len(column) for column in columns))
    return np.stack([np.concatenate([one, np.full(width - len(one), value)]) for one, value in zip(columns, fill, strict=True)])


def is_hidden(targets: Ids) -> NDArray[np.bool_]:
    """Return which targets are tokens of the text."""
    return (targets >= 0) & (targets < SENTINEL)


def with_sentinels(ids: Tensor, vocab_size: int) -> Tensor:
    """Return ids in which sentinels have the numbers after the vocabulary."""
    return torch.where(ids >= SENTINEL, ids - SENTINEL + vocab_size, ids)


class Denoiser(NamedTuple):
    """A way to corrupt a document. mean_length: of the spans, tokens; 0: one at the end. weight: the share of documents, among all."""

    mode: str
    density: float
    mean_length: float
    weight: float


@dataclass(frozen=True)
class Denoisers(Spans):
    """As `Spans`, without its `density` and `mean_length`. marks: sentinels of the network, the last of which are marks; 0: none."""

    ways: tuple[Denoiser, ...] = ()
    marks: int = 0

    def _document(self, tokens: Ids, generator: np.random.Philox) -> tuple[Ids, Ids]:
        """Return what is read of a document, and what is to be written; of a single token nothing."""
        way = chosen(self.ways, float(generator.random_raw()) / 2.0**64)
        read, targets = corrupt(tokens, generator, way.density, way.mean_length, self.most_spans)
        if self.marks:
            read = np.concatenate([[SENTINEL + self.marks - 1 - MODES.index(way.mode)], read])
        return read, targets


def chosen(ways: Sequence[Denoiser], part: float) -> Denoiser:
    """Return the way at this part, from 0 to below 1, of the sum of their weights."""
    ends = np.cumsum([way.weight for way in ways])
    return ways[int(np.searchsorted(ends, part * ends[-1], side="right"))]
