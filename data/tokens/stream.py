"""Encodes a split as one stream of tokens: `<|bos|>` text `<|eos|>`, document after document in shuffled order.

The order is that of a hash of (seed, document id), so it doesn't depend on any text. Lengths add up to the stream's tokens, and `bytes` to
those of the texts. The tokens are in a file in `scratch`, two or four bytes each, memory-mapped; memory holds one batch of texts and about
300 bytes a document. A full disk raises OSError; the file is removed with its folder.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.tokens.documents import read_documents, shuffle_key
from data.tokens.encoder import Ids, TextEncoder
from data.tokens.special import BOS, EOS

Numbers = NDArray[np.int64]


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

    def by_source(self) -> dict[str, Stream]:
        """Return one stream for each source, ordered by name; each keeps the order of its documents."""
        names = np.array(self.sources, dtype=object)
        return {source: self._only(np.flatnonzero(names == source)) for source in sorted(set(self.sources))}

    def _only(self, documents: Numbers) -> Stream:
        ids, sources = ([column[number] for number in documents.tolist()] for column in (self.ids, self.sources))
        return Stream(ids, sources, self.bytes[documents], self.lengths[documents], self.origins[documents], self.file, self.unknown_size)


def read_stream(encoder: TextEncoder, path: Path, seed: int, scratch: Path) -> Stream:
    """Read and encode the split at `path`; write the tokens to a file in `scratch`, in the order of the split."""
    ids: list[str] = []
    sources: list[str] = []
    sizes: list[int] = []

    def texts() -> Iterator[str]:
        for document in read_documents(path):
            ids.append(document.id)
            sources.append(sys.intern(document.source))
            sizes.append(len(document.text.encode()))
            yield document.text

    bos, eos = (np.array([token], dtype=encoder.dtype) for token in (BOS, EOS))
    lengths: list[int] = []
    unknown = lost = 0
    token_file = scratch / f"{path.stem}.tokens"
    with token_file.open("wb") as file:
        for encoded in encoder.encode(texts()):
            for part in (bos, encoded, eos):
                file.write(part.data)
            lengths.append(len(encoded) + 2)
            if encoder.unknown is not None:
                unknown += int((encoded == encoder.unknown).sum())
                lost += encoder.unknown_bytes(sizes[len(lengths) - 1], encoded)
    order = sorted(range(len(ids)), key=lambda number: (shuffle_key(seed, ids[number]), ids[number]))
    tokens: Ids = np.memmap(token_file, dtype=encoder.dtype, mode="r") if lengths else np.empty(0, dtype=encoder.dtype)
    counts = np.array(lengths, dtype=np.int64)
    whole = Stream(ids, sources, np.array(sizes, dtype=np.int64), counts, np.cumsum(counts) - counts, tokens, lost / max(unknown, 1))
    return whole._only(np.array(order, dtype=np.int64))
