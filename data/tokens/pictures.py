"""Pictures and sounds among the tokens of rows. What is said of pictures is true of sounds, whose patches are frames.

While text is encoded and laid out, each patch of each picture has an id of its own, above those of the vocabulary; so whatever moves tokens
moves patches. Only as rows are written does an id become what a model reads: the padding token, the vector and the place of the patch.
A patch is never a target. No row has a part of a picture: where a long document is cut, the cut moves to before the picture.

Memory: the vectors of all pictures, two bytes a number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.shards.pictures import PATCHES, PLACES, PictureGrid, cut_patches, divide, placeholder, read_parts
from data.shards.sounds import SoundGrid
from data.tokens.rows import Columns

Ids = NDArray[np.uint32]


class PictureBook:
    """The patches of known pictures, numbered behind a vocabulary of `first` tokens."""

    def __init__(self, grid: PictureGrid | SoundGrid, paths: Sequence[Path], first: int) -> None:
        found: dict[str, NDArray[np.float16]] = {}
        for part in read_parts(paths):
            if part.picture is not None and part.picture.name not in found:
                found[part.picture.name] = cut_patches(part.picture, grid)
        self.each, self.first, self._sounds = grid.patches, first, isinstance(grid, SoundGrid)
        none = np.zeros((0, grid.patch_size), np.float16)
        self._vectors = np.concatenate([none, *(found[name] for name in sorted(found))])
        numbers = range(first, first + len(self._vectors), self.each)
        self._ids = {name: np.arange(start, start + self.each, dtype=np.uint32) for name, start in zip(sorted(found), numbers, strict=True)}

    @property
    def placeholders(self) -> Mapping[str, list[int]]:
        """The ids of each picture, by what stands for it in a text."""
        return {placeholder(name, sound=self._sounds): ids.tolist() for name, ids in self._ids.items()}

    def divided(self, texts: Iterable[str]) -> Iterator[list[str | Ids]]:
        """Yield the parts of each text in order: words, and the ids of pictures."""
        for text in texts:
            yield [self._ids[name] if name else words for words, name in divide(text, self._ids)]

    def words_of(self, text: str) -> str:
        """Return a text without its known pictures."""
        return "".join(words for words, _ in divide(text, self._ids))

    def words(self, ids: NDArray[np.unsignedinteger]) -> NDArray[np.unsignedinteger]:
        """Return ids without those of patches."""
        return ids[ids < self.first]

    def columns(self, rows: Columns, padding: int) -> Columns:
        """Return rows of ids as a model reads them. Where a row begins with the last patch of a picture, that is a placeholder alone."""
        tokens = rows["tokens"].astype(np.int64)
        patch = tokens - self.first
        here = patch >= 0
        inside = here & (patch % self.each > 0)
        before = np.roll(tokens, 1, axis=1)
        before[:, 0] = -1
        seen = here & ~(inside & (before != tokens - 1))
        vectors = np.zeros((*tokens.shape, self._vectors.shape[1]), np.float16)
        vectors[seen] = self._vectors[patch[seen]]
        places = np.where(seen, patch % self.each + 1, 0).astype(np.int16 if self.each < 2**15 else np.int32)
        dtype = np.uint16 if self.first <= 2**16 else np.uint32
        plain = np.where(here, padding, tokens).astype(dtype)
        return {**rows, "tokens": plain, "loss": rows["loss"] & ~here, PATCHES: vectors, PLACES: places}

    def cuts(self, ids: Ids, width: int) -> list[int]:
        """Return where a document of `ids` is cut into parts that fit a row: where each but the first has its first token of its own.

        That token follows the last one of the part before, with which its row begins. Raise ValueError for a picture that fits no row."""
        if self.each > width - 2:
            raise ValueError(f"a picture of {self.each} patches fits no row of {width - 1} tokens; raise sequence_length, or the patch")
        found: list[int] = []
        start = 0
        while start + width < len(ids):
            end = start + width
            patch = int(ids[end]) - self.first
            end -= patch % self.each if patch >= 0 else 0
            found.append(end)
            start = end - 1
        return found
