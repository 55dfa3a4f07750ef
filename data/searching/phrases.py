"""The phrases of a document: runs of a few words that identify its text wherever it was copied.

Words are compared without case, punctuation, line breaks, markup and escapes, so a phrase is found in plain text, in JSON and in HTML, at
any depth of escaping. Texts of fewer words than a phrase are one phrase. Cost: about 20 MB of text a second; memory: eight bytes a phrase.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

WORDS = 5  # words of a phrase: of fewer, many are anybody's; more would miss short quotations
LEAST_WORDS = 2
PIECE = 4 << 20
OVERLAP = 2000  # characters that adjacent pieces share, so no phrase is cut
QUOTED = 12  # words of a quotation that is shown
_PRIME = np.uint64(0x9E3779B97F4A7C15)
_BUCKETS = 1 << 20
_WORD = re.compile(r"[^\W_]+")
_TAG = re.compile(r"<[^<>]{1,2000}>")
_ESCAPE = re.compile(r"\\+(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.)|$)", re.DOTALL)
_WHITE = frozenset("nrtbf")

Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class Match:
    """The phrases found in a text: their hashes, and the words of the first."""

    hashes: frozenset[int] = frozenset()
    quote: str = ""

    def __or__(self, other: Match) -> Match:
        return Match(self.hashes | other.hashes, self.quote or other.quote)


@dataclass(frozen=True)
class Phrases:
    """Hashes of phrases of `words` words, ascending and each once. They mean nothing in another process."""

    words: int
    hashes: Hashes

    @classmethod
    def of(cls, texts: Iterable[str]) -> Phrases:
        """Return all phrases of the versions of a text; none if the longest has a single word."""
        found: list[Hashes] = [np.empty(0, np.uint64)]
        short: list[list[str]] = []
        for words in (words for text in texts for piece in pieces(unescape(text)) for words in word_lists(piece)):
            if len(words) >= WORDS:
                found.append(np.unique(_hashes(words, WORDS)))
            else:
                short.append(words)
        size = WORDS if len(found) > 1 else max(map(len, short), default=0)
        if LEAST_WORDS <= size < WORDS:
            found += [_hashes(words, size) for words in short]
        return cls(size, np.unique(np.concatenate(found)))

    def __len__(self) -> int:
        return len(self.hashes)

    def without(self, hashes: Iterable[int]) -> Phrases:
        """Return these phrases without some of them."""
        return replace(self, hashes=np.setdiff1d(self.hashes, np.fromiter(hashes, np.uint64), assume_unique=True))

    def find(self, plain: str) -> Match:
        """Return which of the phrases a text has, given as `unescape` returns it."""
        found = Match()
        if len(self):
            for piece in pieces(plain):
                for words in word_lists(piece):
                    found |= self._find(words)
        return found

    def _find(self, words: list[str]) -> Match:
        hashes = _hashes(words, self.words)
        # Most phrases are ruled out by a table of bits, which is quicker than a search.
        maybe = np.flatnonzero(self._table[hashes % np.uint64(_BUCKETS)])
        nearest = np.minimum(np.searchsorted(self.hashes, hashes[maybe]), len(self) - 1)
        here = maybe[self.hashes[nearest] == hashes[maybe]]
        if not len(here):
            return Match()
        run = 1
        while run < len(here) and here[run] == here[run - 1] + 1:
            run += 1
        first = int(here[0])
        return Match(frozenset(hashes[here].tolist()), " ".join(words[first : first + min(run + self.words - 1, QUOTED)]))

    @cached_property
    def _table(self) -> NDArray[np.bool_]:
        table = np.zeros(_BUCKETS, dtype=np.bool_)
        table[self.hashes % np.uint64(_BUCKETS)] = True
        return table


def unescape(text: str) -> str:
    """Return a text in lower case with escapes of JSON, Python and HTML resolved, however often they were applied."""
    if "\\" in text:
        text = _ESCAPE.sub(_character, text)
    for _ in range(2):
        if "&" in text:
            text = html.unescape(text)
    return (text if text.isascii() else unicodedata.normalize("NFKC", text).replace("\xad", "")).lower()


def pieces(text: str) -> Iterator[str]:
    """Cut a long text into pieces that overlap, since the words of a piece take about ten times its memory."""
    for start in range(0, max(len(text), 1), PIECE):
        yield text[max(start - OVERLAP, 0) : start + PIECE]


def word_lists(plain: str) -> Iterator[list[str]]:
    """Yield the words of a text, and where it has markup, of the text without it: tags may stand between words or within one."""
    yield _WORD.findall(plain)
    if "<" in plain and (spaced := _TAG.sub(" ", plain)) != plain:
        yield _WORD.findall(spaced)
        yield _WORD.findall(_TAG.sub("", plain))


def _character(escape: re.Match[str]) -> str:
    code, byte, other = escape.groups()
    if code or byte:
        return chr(int(code or byte, 16))
    return " " if other is None or other in _WHITE else str(other)


def _hashes(words: list[str], size: int) -> Hashes:
    """Return the hash of every run of `size` words, in order."""
    count = len(words) - size + 1
    if size == 0 or count < 1:
        return np.empty(0, np.uint64)
    each = np.fromiter(map(hash, words), np.int64, len(words)).astype(np.uint64)
    runs = each[:count].copy()
    for offset in range(1, size):
        runs = runs * _PRIME + each[offset : offset + count]
    return runs
