"""Text to ids with a fitted tokenizer: on all cores, without ever handing it one giant string.

Guarantee: special tokens never come out of text. A book or a user that writes "<|end|>" gets the ids of those seven
characters, so content cannot end a message or open a role. Ids are those of the whole text encoded at once (see
`pieces` for why, and its one exception), and decoding them gives the text back byte for byte, except what became `<|unk|>`
in a kind that has it (see `kinds.py`): that is gone, and `unknown_bytes` says how much it was.
Cost: about 4 million characters are in flight at a time; the tokenizer's own threads share them, and what it has encoded
becomes arrays while it encodes on.
When it can't: a directory that holds no tokenizer of ours raises TokenizerError.
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from data.tokens.special import SPECIAL_TOKENS, UNKNOWN

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

Owner = TypeVar("Owner")
Batch = list[tuple[int, str]]  # (number of the text, piece)
Ids = NDArray[Any]
CHUNK_CHARACTERS = 16_384
MAX_CHUNK_CHARACTERS = 16 * CHUNK_CHARACTERS
BATCH_CHARACTERS = 2_000_000
_BYTE = re.compile("<0x[0-9A-F]{2}>")
_LINE_END = re.compile(r"(?<=\S)\n")
_WORD_END = re.compile(r"(?<=\S)[ \n]")  # the pattern of the tokenizer and Python disagree on rarer whitespace


class TokenizerError(ValueError):
    """The directory holds no tokenizer that folio wrote, or the tokenizer does not do what is promised of it."""


def chunks(text: str) -> Iterator[str]:
    """Cut `text` into pieces of about 16 thousand characters whose tokens, joined, are the tokens of the whole.

    Rule: a cut falls just before a space or newline that follows no whitespace: at the end of a line if there is one
    within as much again, else at the end of a word. The byte-level pattern splits there in any case, and looks
    ahead only inside runs of whitespace, which a cut never divides. Exception: a run of 262,144 characters that
    offers no such place is cut where it stands; its tokens may then differ there, its round trip may not.
    """
    start = 0
    while len(text) - start > CHUNK_CHARACTERS:
        aim = start + CHUNK_CHARACTERS
        limit = start + MAX_CHUNK_CHARACTERS
        found = _LINE_END.search(text, aim, aim + CHUNK_CHARACTERS) or _WORD_END.search(text, aim, limit)
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
        self.unknown: int | None = self.tokenizer.token_to_id(UNKNOWN)
        self.token_bytes = token_bytes(self.tokenizer)
        self.dtype = np.dtype(np.uint16 if self.vocab_size <= 65_536 else np.uint32)

    def unknown_bytes(self, size: int, ids: Ids) -> int:
        """How many of a text's `size` UTF-8 bytes its `ids` do not tell, because they stand for `<|unk|>`."""
        return size - int(self.token_bytes[ids].sum())

    def encode(self, texts: Iterable[str]) -> Iterator[Ids]:
        """The ids of each text, in order; one array of `dtype` a text, without special tokens."""
        parts: dict[int, list[Ids]] = {}
        done = 0
        for batch, encodings in self._encoded(batches(enumerate(texts))):
            for (owner, _), encoding in zip(batch, encodings, strict=True):
                parts.setdefault(owner, []).append(np.array(encoding.ids, dtype=self.dtype))
            # Texts before the last one of the batch are whole; the last may go on in the next batch.
            for owner in range(done, batch[-1][0]):
                yield self._join(parts.pop(owner))
                done = owner + 1
        for owner in sorted(parts):
            yield self._join(parts[owner])

    def _encoded(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, list[Encoding]]]:
        """Each batch with its encodings, while the tokenizer's threads are at work on the next."""

        def work(batch: Batch) -> list[Encoding]:
            return self.tokenizer.encode_batch_fast([piece for _, piece in batch], add_special_tokens=False)

        with ThreadPoolExecutor(1) as ahead:
            waiting: deque[tuple[Batch, Future[list[Encoding]]]] = deque()
            for batch in batches:
                waiting.append((batch, ahead.submit(work, batch)))
                if len(waiting) > 1:
                    before, done = waiting.popleft()
                    yield before, done.result()
            for before, done in waiting:
                yield before, done.result()

    def decode(self, ids: Ids) -> str:
        """The text that ids stand for; special tokens are written out, so that a leak shows."""
        return str(self.tokenizer.decode(ids.tolist(), skip_special_tokens=False))

    def _join(self, arrays: list[Ids]) -> Ids:
        return np.concatenate(arrays) if arrays else np.empty(0, dtype=self.dtype)


def token_bytes(tokenizer: Tokenizer) -> NDArray[np.int64]:
    """UTF-8 bytes that each token stands for, int64 [vocab_size]; 0 for special tokens and for `<|unk|>`, which may be any."""
    from tokenizers import decoders, models

    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    sizes = np.zeros(len(vocabulary), dtype=np.int64)
    special = {*SPECIAL_TOKENS, UNKNOWN}
    by_byte = isinstance(tokenizer.decoder, decoders.ByteLevel)  # one character of its alphabet a byte
    fallback = isinstance(tokenizer.decoder, decoders.ByteFallback)
    continued = tokenizer.model.continuing_subword_prefix if isinstance(tokenizer.model, models.WordPiece) else ""
    for token, index in vocabulary.items():
        if token in special:
            continue
        if by_byte:
            sizes[index] = len(token)
        elif fallback and _BYTE.fullmatch(token):
            sizes[index] = 1
        else:
            sizes[index] = len((token.removeprefix(continued) if continued else token).encode())
    return sizes


def batches(texts: Iterable[tuple[Owner, str]]) -> Iterator[list[tuple[Owner, str]]]:
    """(owner, piece) of (owner, text) in batches of about BATCH_CHARACTERS; an empty text comes as one empty piece."""
    batch: list[tuple[Owner, str]] = []
    size = 0
    for owner, text in texts:
        for piece in chunks(text) if text else ("",):
            batch.append((owner, piece))
            size += len(piece) + 64
            if size >= BATCH_CHARACTERS:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch
