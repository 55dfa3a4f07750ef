"""Augmentation of the text that a model trains on: other spellings in tokens, and other orders, in each pass over the documents.

The text itself does not change, so its bytes don't either. Everything drawn follows from (seed, pass, document) alone, whatever the
threads, the batches and the other documents. Validation and test are never augmented: `pack` asks for it in the training split only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from random import Random
from typing import TYPE_CHECKING

import numpy as np

from data.tokens.augmentation.respelling import respeller
from data.tokens.documents import shuffle_key

if TYPE_CHECKING:
    from data.tokens.config import Augmentation
    from data.tokens.encoder import Ids, TextEncoder

_BREAK = re.compile(r"(\n[ \t\r]*\n\s*)")


class Augmenter:
    """Draws a new spelling of each document in each pass. Raise TokenizerError if the tokenizer has only one."""

    def __init__(self, config: Augmentation, encoder: TextEncoder, seed: int) -> None:
        self.passes, self._config, self._encoder, self._seed = config.passes, config, encoder, seed
        self._spell = respeller(encoder.tokenizer, config) if config.respells else None

    @property
    def rewrites(self) -> bool:
        """Whether a document differs from pass to pass, and not its place alone."""
        return self._config.respells or self._config.paragraphs

    def order_key(self, turn: int, identity: str) -> tuple[int, str]:
        """Return what sorting documents by shuffles them for a pass; the first pass has the order of rows without augmentation."""
        return shuffle_key(self._seed, *(("pass", turn) if turn else ()), identity), identity

    def encode(self, turn: int, documents: Iterator[tuple[str, str]]) -> Iterator[Ids]:
        """Yield the ids of each document (id, text) as pass number `turn` writes it."""
        if self._spell is None:
            yield from self._encoder.encode(self._arranged(turn, identity, text) for identity, text in documents)
            return
        for identity, text in documents:
            random = self._random("spelling", turn, identity)
            yield np.array(self._spell(self._arranged(turn, identity, text), random), dtype=self._encoder.dtype)

    def _arranged(self, turn: int, identity: str, text: str) -> str:
        """Return the text with its paragraphs in another order; what separates them stays where it is."""
        if not self._config.paragraphs:
            return text
        parts = _BREAK.split(text)
        paragraphs = parts[::2]
        self._random("paragraphs", turn, identity).shuffle(paragraphs)
        parts[::2] = paragraphs
        return "".join(parts)

    def _random(self, *parts: object) -> Random:
        return Random(shuffle_key(self._seed, *parts))
