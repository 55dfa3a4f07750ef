"""Text to ids with a fitted tokenizer: on all cores, without ever handing it one giant string.

Guarantee: special tokens never come out of text. A book or a user that writes "<|end|>" gets the ids of those seven
characters, so content cannot end a message or open a role. Ids are those of the whole text encoded at once (see
`pieces` for why, and its one exception), and decoding them gives the text back byte for byte.
Cost: about 2 million characters are in flight at a time; the tokenizer's own threads share them.
When it can't: a directory that holds no tokenizer of ours raises TokenizerError.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.tokens.special import SPECIAL_TOKENS

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Ids = NDArray[Any]
PIECE_CHARACTERS = 16_384
LONGEST_PIECE = 16 * PIECE_CHARACTERS
BATCH_CHARACTERS = 2_000_000
_LINE_END = re.compile(r"(?<=\S)\n")
_WORD_END = re.compile(r"(?<=\S)[ \n]")  # the pattern of the tokenizer and Python disagree on rarer whitespace


class TokenizerError(ValueError):
    """The directory holds no tokenizer that folio wrote, or the tokenizer does not do what is promised of it."""


def pieces(text: str) -> Iterator[str]:
    """Cut `text` into pieces of about 16 thousand characters whose tokens, joined, are the tokens of the whole.

    Rule: a cut falls just before a space or newline that follows no whitespace: at the end of a line if there is one
    within as much again, else at the end of a word. The byte-level pattern splits there in any case, and looks
    ahead only inside runs of whitespace, which a cut never divides. Exception: a run of 262,144 characters that
    offers no such place is cut where it stands; its tokens may then differ there, its round trip may not.
    """
    start = 0
    while len(text) - start > PIECE_CHARACTERS:
        aim = start + PIECE_CHARACTERS
        limit = start + LONGEST_PIECE
        found = _LINE_END.search(text, aim, aim + PIECE_CHARACTERS) or _WORD_END.search(text, aim, limit)
        end = found.start() if found else min(limit, len(text))
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


class TextEncoder:
    """A tokenizer directory, opened for encoding content."""

    def __init__(self, directory: Path) -> None:
        from tokenizers import Tokenizer

        path = Path(directory) / "tokenizer.json"
        if not path.is_file():
            raise TokenizerError(f"{path} does not exist: fit a tokenizer into that directory first")
        content = path.read_bytes()
        self.digest = hashlib.sha256(content).hexdigest()
        self.tokenizer: Tokenizer = Tokenizer.from_buffer(content)
        self.vocab_size: int = self.tokenizer.get_vocab_size(with_added_tokens=True)
        for place, token in enumerate(SPECIAL_TOKENS):
            if self.tokenizer.token_to_id(token) != place:
                raise TokenizerError(f"{path}: {token} has id {self.tokenizer.token_to_id(token)}, must be {place}")
        self.tokenizer.encode_special_tokens = True
        self.dtype = np.dtype(np.uint16 if self.vocab_size <= 65_536 else np.uint32)

    @property
    def token_bytes(self) -> NDArray[np.int64]:
        """UTF-8 bytes that each token stands for, int64 [vocab_size]; 0 for special tokens."""
        sizes = np.zeros(self.vocab_size, dtype=np.int64)
        for token, index in self.tokenizer.get_vocab(with_added_tokens=True).items():
            sizes[index] = 0 if index < len(SPECIAL_TOKENS) else len(token)  # one character of the alphabet a byte
        return sizes

    def encode(self, texts: Iterable[str]) -> Iterator[Ids]:
        """The ids of each text, in order; one array of `dtype` a text, without special tokens."""
        parts: dict[int, list[Ids]] = {}
        done = 0
        for batch in _batches(texts):
            filled = [(owner, piece) for owner, piece in batch if piece]
            encodings = self.tokenizer.encode_batch_fast([piece for _, piece in filled], add_special_tokens=False)
            for owner, _ in batch:
                parts.setdefault(owner, [])
            for (owner, _), encoding in zip(filled, encodings, strict=True):
                parts[owner].append(np.array(encoding.ids, dtype=self.dtype))
            # Texts before the last one of the batch are whole; the last may go on in the next batch.
            for owner in range(done, batch[-1][0]):
                yield self._join(parts.pop(owner))
                done = owner + 1
        for owner in sorted(parts):
            yield self._join(parts[owner])

    def decode(self, ids: Ids) -> str:
        """The text that ids stand for; special tokens are written out, so that a leak shows."""
        return str(self.tokenizer.decode(ids.tolist(), skip_special_tokens=False))

    def _join(self, arrays: list[Ids]) -> Ids:
        return np.concatenate(arrays) if arrays else np.empty(0, dtype=self.dtype)


def _batches(texts: Iterable[str]) -> Iterator[list[tuple[int, str]]]:
    """(number of the text, piece) in batches of about BATCH_CHARACTERS; an empty text comes as one empty piece."""
    batch: list[tuple[int, str]] = []
    size = 0
    for owner, text in enumerate(texts):
        for piece in pieces(text) if text else ("",):
            batch.append((owner, piece))
            size += len(piece) + 64
            if size >= BATCH_CHARACTERS:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def text_groups(texts: Iterable[str]) -> Iterator[list[str]]:
    """Pieces of all texts in groups of about BATCH_CHARACTERS: for work that needs no account of whose they are."""
    for batch in _batches(texts):
        yield [piece for _, piece in batch if piece]
