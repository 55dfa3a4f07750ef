"""Segments many documents at once into words, lines and paragraphs: their positions in the UTF-8 bytes, their sizes, and a hash of each.

Takes texts in which every white space is a space or a line end, which separate words. A line or paragraph extends from its first word to
its last; one without words doesn't count.

Units of one document are equal if and only if their hashes are, except for 64-bit collisions, which a text can be constructed to have
(Thue-Morse sequences of a thousand bytes). Units of different documents have different hashes even if they are equal. The hash is a
polynomial modulo 2^64 over random numbers for bytes (Karp and Rabin 1987, IBM Journal of Research 31:249), computed from prefix sums, so a
unit of any length costs the same; then its bits and the document's number are mixed in.
Runs in numpy at about 60 MB/s on one core, mostly without holding the interpreter's lock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

UInt64s = NDArray[np.uint64]
Int64s = NDArray[np.int64]
SLICE_BYTES = 1_000_000
BLOCK = 1 << 16
_random = np.random.Generator(np.random.PCG64(20110926))
_BYTE = _random.integers(0, 2**64, 256, dtype=np.uint64)
_BASE = int(_random.integers(0, 2**61)) * 8 + 5  # of the longest period there is modulo 2^64
_MIX = _random.integers(0, 2**64, 3, dtype=np.uint64) | np.uint64(1)


def _powers(base: int, count: int) -> UInt64s:
    """Return the powers 1, base, base squared, and so on."""
    found = np.full(count, base % 2**64, np.uint64)
    found[:1] = 1
    return np.cumprod(found, dtype=np.uint64)


_UP, _DOWN = _powers(_BASE, BLOCK), _powers(pow(_BASE, -1, 2**64), BLOCK)


@dataclass(frozen=True)
class Units:
    """Words, lines or paragraphs in order: the document of each, its hash, and its size in characters."""

    document_P: Int64s
    hash_P: UInt64s
    size_P: Int64s


class Segmentation:
    """Documents numbered `n_D` with their units. `offset_D` holds where each begins in `byte_B`, and where the last one ends."""

    def __init__(self, n_D: Int64s, byte_B: NDArray[np.uint8], offset_D: Int64s) -> None:
        self.n_D, self._byte_B, self._offset_D = n_D, byte_B, offset_D
        first_D = offset_D[:-1][np.diff(offset_D) > 0]
        last_D = offset_D[1:][np.diff(offset_D) > 0] - 1
        end_of_line_B = byte_B == ord("\n")
        self._end_of_line = np.flatnonzero(end_of_line_B)
        within_B = ~((byte_B == ord(" ")) | end_of_line_B)
        start_B, end_B = within_B.copy(), within_B.copy()
        start_B[1:] &= ~within_B[:-1]
        end_B[:-1] &= ~within_B[1:]
        start_B[first_D], end_B[last_D] = within_B[first_D], within_B[last_D]
        self._start_W, self._end_W = np.flatnonzero(start_B), np.flatnonzero(end_B) + 1
        self.first_word_D = np.searchsorted(self._start_W, offset_D)
        """The index of each document's first word, and the number of words."""

    @cached_property
    def words(self) -> Units:
        """The words."""
        return self._units(slice(None), slice(None))

    @cached_property
    def lines(self) -> Units:
        """The lines that have words."""
        return self._broken_by(1)

    @cached_property
    def paragraphs(self) -> Units:
        """The paragraphs, separated by blank lines."""
        return self._broken_by(2)

    def characters(self, chosen_W: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the number of characters in chosen words, by document."""
        index_W = np.flatnonzero(chosen_W)
        found = np.bincount(self.words.document_P[index_W], self.words.size_P[index_W], len(self.n_D))
        return found.astype(np.float64)

    @cached_property
    def _characters_E(self) -> Int64s:
        """The number of characters before the start and the end of each word: two entries a word."""
        byte_E = np.stack([self._start_W, self._end_W], axis=1).ravel()
        if not len(self._byte_B) or self._byte_B.max() < 0x80:
            return byte_E
        further_B = np.zeros(len(self._byte_B) + 1, np.int32)
        np.cumsum(self._byte_B.view(np.int8) < -0x40, out=further_B[1:])  # Bytes 0x80 to 0xbf continue a character.
        return byte_E - further_B[byte_E]

    @cached_property
    def _prefix_E(self) -> UInt64s:
        """The polynomial of all bytes before the start and the end of each word: two entries a word."""
        byte_E = np.stack([self._start_W, self._end_W], axis=1).ravel()
        found_E = np.empty(len(byte_E), np.uint64)
        blocks = -(-len(self._byte_B) // BLOCK)
        bound = np.searchsorted(byte_E, np.arange(blocks + 1) * BLOCK, side="right")
        scales = _powers(pow(_BASE, BLOCK, 2**64), blocks)
        before = np.zeros(1, np.uint64)
        found_E[: bound[0] if blocks else 0] = 0
        for block in range(blocks):
            sum_B = _BYTE[self._byte_B[block * BLOCK : (block + 1) * BLOCK]]
            sum_B *= _UP[: len(sum_B)]
            np.cumsum(sum_B, out=sum_B)
            sum_B *= scales[block]
            sum_B += before
            # The entry at byte p is the sum of the bytes before p, so one at the very start of a block belongs to the block before.
            here = slice(bound[block], bound[block + 1])
            found_E[here] = sum_B[byte_E[here] - 1 - block * BLOCK]
            before = sum_B[-1:]
        return found_E

    def _broken_by(self, line_ends: int) -> Units:
        """Return the units separated by at least so many line ends."""
        next_word = np.searchsorted(self._start_W, self._end_of_line)
        opens_W = np.bincount(next_word, minlength=len(self._start_W) + 1)[:-1] >= line_ends
        opens_W[self.first_word_D[self.first_word_D < len(opens_W)]] = True
        first_P = np.flatnonzero(opens_W)
        return self._units(first_P, np.append(first_P[1:], len(opens_W))[: len(first_P)] - 1)

    def _units(self, first_P: Int64s | slice, last_P: Int64s | slice) -> Units:
        """Return the units from given first words to given last words."""
        document_P = np.repeat(np.arange(len(self.n_D)), np.diff(self.first_word_D))[first_P]
        start_P = self._start_W[first_P]
        hash_P = self._prefix_E[1::2][last_P] - self._prefix_E[::2][first_P]
        hash_P *= _DOWN[start_P % BLOCK]
        hash_P *= _powers(pow(_BASE, -BLOCK, 2**64), len(self._byte_B) // BLOCK + 1)[start_P // BLOCK]
        hash_P ^= hash_P >> np.uint64(32)
        hash_P *= _MIX[0]
        hash_P += document_P.astype(np.uint64) * _MIX[1]
        hash_P ^= hash_P >> np.uint64(29)
        hash_P *= _MIX[2]
        return Units(document_P, hash_P, self._characters_E[1::2][last_P] - self._characters_E[::2][first_P])


def segment(texts: pa.Table) -> Iterator[Segmentation]:
    """Yield the segmentation of a table of `n` and `text`, in order, about SLICE_BYTES at a time."""
    for chunk in texts.to_batches():
        n_D = chunk.column("n").to_numpy(zero_copy_only=False).astype(np.int64)
        column = chunk.column("text").cast(pa.large_string())
        buffers: list[Any] = column.buffers()
        _, offsets, content = buffers
        offset_D = np.frombuffer(offsets, np.int64)[column.offset : column.offset + len(column) + 1]
        byte_B = np.frombuffer(content, np.uint8) if content else np.empty(0, np.uint8)
        slice_D = (offset_D[:-1] - offset_D[0]) // SLICE_BYTES
        bounds = [0, *(np.flatnonzero(np.diff(slice_D)) + 1).tolist(), len(column)]
        for first, end in pairwise(bounds):
            part_D = offset_D[first : end + 1]
            yield Segmentation(n_D[first:end], byte_B[part_D[0] : part_D[-1]], part_D - part_D[0])
