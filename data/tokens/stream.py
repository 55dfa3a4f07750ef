"""Encodes a split as one stream of tokens: `<|bos|>` text `<|eos|>`, document after document in shuffled order.

The order is that of a hash of (seed, document id), so it doesn't depend on any text. Lengths add up to the stream's tokens, and `bytes` to
those of the texts. The tokens are in a file in `scratch`, two or four bytes each, memory-mapped; memory holds one batch of texts and about
300 bytes a document. A full disk raises OSError; the file is removed with its folder.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.documents.stream import Files
from data.tokens.augmentation import Augmenter
from data.tokens.documents import read_documents, shuffle_key
from data.tokens.encoder import Ids, TextEncoder
from data.tokens.pictures import PictureBook
from data.tokens.special import PAD

Numbers = NDArray[np.int64]
AT_ONCE = 1 << 20  # tokens
SortKey = Callable[[str], tuple[int, str]]  # a document's id -> what it is sorted by
Encode = Callable[[Iterator[tuple[str, str]]], Iterator[Ids]]  # (id, text) of each document -> its ids


@dataclass(frozen=True)
class Stream:
    """Documents in stream order. `lengths` are in tokens and include `<|bos|>` and `<|eos|>`; `bytes` are of UTF-8."""

    ids: list[str]
    sources: list[str]
    bytes: Numbers
    lengths: Numbers
    origins: Numbers  # where each document begins in `file`
    file: Ids
    unknown_size: float = 0.0  # UTF-8 bytes that one `<|unk|>` replaces, on average
    pad: int = PAD  # what rows are filled with
    pictures: PictureBook | None = None  # of which documents may have patches

    @cached_property
    def starts(self) -> Numbers:
        """The start of each document in the stream, and the end of the stream; int64 [documents + 1]."""
        return np.concatenate([np.zeros(1, np.int64), np.cumsum(self.lengths, dtype=np.int64)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def take(self, first: int, last: int) -> Ids:
        """Return the tokens from `first` up to `last` (excluded) or the end of the stream."""
        last = min(last, len(self))
        if first >= last:
            return np.empty(0, dtype=self.file.dtype)
        document = int(np.searchsorted(self.starts, first, side="right")) - 1
        parts: list[Ids] = []
        while first < last:
            origin = int(self.origins[document]) + first - int(self.starts[document])
            end = min(last, int(self.starts[document + 1]))
            parts.append(self.file[origin : origin + end - first])
            first, document = end, document + 1
        return np.concatenate(parts)

    @property
    def targets(self) -> int:
        """The tokens that a model predicts: of each document all but the first, and but patches."""
        patches = 0 if self.pictures is None else sum(int((self.take(at, at + AT_ONCE) >= self.pictures.first).sum()) for at in
                                                      range(0, len(self), AT_ONCE))  # fmt: skip
        return int((self.lengths - 1).sum()) - patches

    def by_source(self) -> dict[str, Stream]:
        """Return one stream for each source, ordered by name; each keeps the order of its documents."""
        names = np.array(self.sources, dtype=object)
        return {source: self._only(np.flatnonzero(names == source)) for source in sorted(set(self.sources))}

    def sorted_by(self, key: SortKey) -> Stream:
        """Return the stream with its documents in the order of what `key` returns for their ids."""
        return self._only(np.array(sorted(range(len(self.ids)), key=lambda number: key(self.ids[number])), dtype=np.int64))

    def _only(self, documents: Numbers) -> Stream:
        ids, sources = ([column[number] for number in documents.tolist()] for column in (self.ids, self.sources))
        sizes = (self.bytes[documents], self.lengths[documents], self.origins[documents])
        return Stream(ids, sources, *sizes, self.file, self.unknown_size, self.pad, self.pictures)


def read_stream(encoder: TextEncoder, split: Files, seed: int, scratch: Path, augmenter: Augmenter | None = None) -> Stream:
    """Read and encode the split in these files; write the tokens to a file in `scratch`, in the order of ids.

    `augmenter`: makes several passes, one after the other, in each of which every document comes once; None: one, with nothing changed.
    """
    if augmenter is None:
        return _read_pass(encoder, split, scratch / "split.tokens", lambda identity: (shuffle_key(seed, identity), identity))
    passes: list[Stream] = []
    for turn in range(augmenter.passes):
        key = partial(augmenter.order_key, turn)
        if passes and not augmenter.rewrites:
            passes.append(passes[0].sorted_by(key))
        else:
            file = scratch / f"pass-{turn}.tokens"
            passes.append(_read_pass(encoder, split, file, key, partial(augmenter.encode, turn)))
    return passes[0] if len(passes) == 1 else _joined(passes, scratch / "split.tokens")


def _read_pass(encoder: TextEncoder, split: Files, token_file: Path, key: SortKey, encode: Encode | None = None) -> Stream:
    """Read and encode the split once, in the order of `key`. `encode`: what makes ids of documents; None: the encoder, of their texts."""
    ids: list[str] = []
    sources: list[str] = []
    sizes: list[int] = []

    def documents() -> Iterator[tuple[str, str]]:
        for document in read_documents(split):
            ids.append(document.id)
            sources.append(sys.intern(document.source))
            words = document.text if encoder.pictures is None else encoder.pictures.words_of(document.text)
            sizes.append(len(words.encode()))
            yield document.id, document.text

    bos, eos = (np.array([token], dtype=encoder.dtype) for token in (encoder.roles.document_begin, encoder.roles.document_end))
    lengths: list[int] = []
    unknown = lost = 0
    with token_file.open("wb") as file:
        for encoded in encode(documents()) if encode else encoder.encode(text for _, text in documents()):
            for part in (bos, encoded, eos):
                file.write(part.data)
            lengths.append(len(encoded) + 2)
            if encoder.unknown is not None:
                unknown += int((encoded == encoder.unknown).sum())
                lost += encoder.unknown_bytes(sizes[len(lengths) - 1], encoded)
    tokens: Ids = np.memmap(token_file, dtype=encoder.dtype, mode="r") if lengths else np.empty(0, dtype=encoder.dtype)
    counts = np.array(lengths, dtype=np.int64)
    origins, unknown_size = np.cumsum(counts) - counts, lost / max(unknown, 1)
    read = (ids, sources, np.array(sizes, dtype=np.int64), counts, origins, tokens, unknown_size)
    whole = Stream(*read, encoder.roles.padding, encoder.pictures)
    return whole.sorted_by(key)


def _joined(passes: list[Stream], path: Path) -> Stream:
    """Return the passes as one stream; its file at `path` holds the tokens of theirs, each file once."""
    offsets, written = dict[int, int](), 0
    with path.open("wb") as out:
        for one in passes:
            if id(one.file) not in offsets:
                offsets[id(one.file)] = written
                out.write(one.file.data)
                written += len(one.file)
    first = passes[0]
    return Stream(
        [name for one in passes for name in one.ids],
        [name for one in passes for name in one.sources],
        np.concatenate([one.bytes for one in passes]),
        np.concatenate([one.lengths for one in passes]),
        np.concatenate([one.origins + offsets[id(one.file)] for one in passes]),
        np.memmap(path, dtype=first.file.dtype, mode="r") if written else first.file,
        sum(one.unknown_size for one in passes) / len(passes),
        first.pad,
        first.pictures,
    )
