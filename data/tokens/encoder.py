"""Encodes text into ids with a fitted tokenizer, on all cores and in chunks instead of one giant string.

Text never produces special tokens: a book or a user that writes "<|end|>" gets the ids of those seven characters, so content cannot end a
message or open a role. Ids are those of the whole text encoded at once (see `chunks` for why, and its one exception). Decoding them gives
the text back byte for byte, except for what became `<|unk|>` in a kind that has it (see `kinds.py`); `unknown_bytes` says how much it was.
About 4 million characters are in flight: the tokenizer's threads encode one batch while the results of the one before become arrays.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import tee
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from data.shards.model_folder import ModelError, read_tokenizer
from data.shards.pictures import PictureGrid
from data.shards.sounds import SoundGrid
from data.tokens.pictures import PictureBook
from data.tokens.rows import Ids as Ids
from data.tokens.special import SPECIAL_TOKENS, UNKNOWN, TokenRoles, read_roles

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

Owner = TypeVar("Owner")
Batch = list[tuple[int, str]]  # (number of the text, chunk)
Cut = Callable[[str], Iterable[str]]
CHUNK_CHARACTERS = 16_384
MAX_CHUNK_CHARACTERS = 16 * CHUNK_CHARACTERS
BATCH_CHARACTERS = 2_000_000
_BYTE = re.compile("<0x[0-9A-F]{2}>")
_LINE_END = re.compile(r"(?<=\S)\n")
_BETWEEN_WORDS = re.compile(r"(?<=[^\W\d_]) (?=[^\W\d_])")
SPACE = "\u2581"
_WORD_END = re.compile(r"(?<=\S)[ \n]")  # the tokenizer's pattern and Python disagree on rarer white space


class TokenizerError(ModelError):
    """The directory has no tokenizer written by folio, or the tokenizer breaks a guarantee."""


def chunks(text: str, between: re.Pattern[str] | None = None) -> Iterator[str]:
    """Cut `text` into chunks of about 16 thousand characters whose tokens, joined, are the tokens of the whole text.

    A cut is made just before a space or newline that follows other text: at the end of a line if there is one within twice the chunk size,
    else at the end of a word. The byte-level pattern always splits there, and looks ahead only within runs of white space, which a cut
    never divides. Exception: 262,144 characters without such a position are cut anyway; tokens may differ there, but the text still
    decodes correctly. `between`: where to cut instead.
    """
    start = 0
    while len(text) - start > CHUNK_CHARACTERS:
        aim = start + CHUNK_CHARACTERS
        limit = start + MAX_CHUNK_CHARACTERS
        if between is None:
            found = _LINE_END.search(text, aim, aim + CHUNK_CHARACTERS) or _WORD_END.search(text, aim, limit)
        else:
            found = between.search(text, aim, limit)
        end = found.start() if found else min(limit, len(text))
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


class TextEncoder:
    """A tokenizer directory, opened for encoding content; with `pictures`, the ids of those that texts name are in their places.

    `dtype`: of ids, which with pictures are more than the vocabulary's.
    """

    def __init__(self, directory: Path, pictures: tuple[PictureGrid | SoundGrid, Sequence[Path]] | None = None) -> None:
        path = Path(directory) / "tokenizer.json"
        self.directory = Path(directory)
        content, tokenizer = read_tokenizer(path, lacking="fit a tokenizer there first")
        self.digest = hashlib.sha256(content).hexdigest()
        self.tokenizer: Tokenizer = tokenizer
        adopted = read_roles(directory)
        self.roles = adopted or TokenRoles()
        self.vocab_size: int = self.roles.vocabulary or self.tokenizer.get_vocab_size(with_added_tokens=True)
        if adopted is None:
            self._require_own_tokens(path)
        self.tokenizer.encode_special_tokens = True
        # A tokenizer from elsewhere is taken only if it loses no text.
        self.unknown: int | None = None if adopted else self.tokenizer.token_to_id(UNKNOWN)
        spellings = token_spellings(self.tokenizer)
        self.spellings = spellings + [b""] * (self.vocab_size - len(spellings))
        self._chunks = chunks if adopted is None else chunking(self.tokenizer)
        self.token_bytes = byte_counts(self.spellings)
        self.pictures = None if pictures is None else PictureBook(*pictures, self.vocab_size)
        self.dtype = np.dtype(np.uint16 if self.vocab_size <= 65_536 and pictures is None else np.uint32)

    def _require_own_tokens(self, path: Path) -> None:
        for index, token in enumerate(SPECIAL_TOKENS):
            if self.tokenizer.token_to_id(token) != index:
                found = self.tokenizer.token_to_id(token)
                raise TokenizerError(f"{path}: {token} has id {found}, must be {index}; one from elsewhere comes with the model of `base`")

    def unknown_bytes(self, size: int, ids: Ids) -> int:
        """Return how many of a text's `size` UTF-8 bytes are lost in its `ids`, because they became `<|unk|>`."""
        words = ids if self.pictures is None else self.pictures.words(ids)
        return size - int(self.token_bytes[words].sum())

    def encode(self, texts: Iterable[str]) -> Iterator[Ids]:
        """Yield the ids of each text, in order, as one array of `dtype` without special tokens."""
        if self.pictures is None:
            yield from self._encode(texts)
            return
        one, other = tee(self.pictures.divided(texts))
        words = self._encode(part for parts in one for part in parts if isinstance(part, str))
        for parts in other:
            yield self._join([next(words) if isinstance(part, str) else part for part in parts])

    def _encode(self, texts: Iterable[str]) -> Iterator[Ids]:
        parts: dict[int, list[Ids]] = {}
        done = 0
        for batch, encodings in self._encoded(batches(enumerate(texts), self._chunks)):
            for (owner, _), encoding in zip(batch, encodings, strict=True):
                parts.setdefault(owner, []).append(np.array(encoding.ids, dtype=self.dtype))
            # All texts but the last one of the batch are complete; the last may continue in the next batch.
            for owner in range(done, batch[-1][0]):
                yield self._join(parts.pop(owner))
                done = owner + 1
        for owner in sorted(parts):
            yield self._join(parts[owner])

    def _encoded(self, batches: Iterable[Batch]) -> Iterator[tuple[Batch, list[Encoding]]]:
        """Yield each batch with its encodings, while the tokenizer's threads encode the next."""

        def encode_batch(batch: Batch) -> list[Encoding]:
            return self.tokenizer.encode_batch_fast([chunk for _, chunk in batch], add_special_tokens=False)

        with ThreadPoolExecutor(1) as executor:
            waiting: deque[tuple[Batch, Future[list[Encoding]]]] = deque()
            for batch in batches:
                waiting.append((batch, executor.submit(encode_batch, batch)))
                if len(waiting) > 1:
                    before, done = waiting.popleft()
                    yield before, done.result()
            for before, done in waiting:
                yield before, done.result()

    def decode(self, ids: Ids) -> str:
        """Decode ids into text, including the names of special tokens."""
        return str(self.tokenizer.decode(ids.tolist(), skip_special_tokens=False))

    def _join(self, arrays: list[Ids]) -> Ids:
        return np.concatenate(arrays) if arrays else np.empty(0, dtype=self.dtype)


def token_spellings(tokenizer: Tokenizer) -> list[bytes]:
    """Return the UTF-8 bytes that each token writes, by id; none for special tokens and `<|unk|>`."""
    from tokenizers import models

    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    spellings = [b""] * (max(vocabulary.values()) + 1)
    added = tokenizer.get_added_tokens_decoder().values()
    special = {*SPECIAL_TOKENS, UNKNOWN, *(token.content for token in added if token.special)}
    decoding = decoding_steps(tokenizer)
    by_byte, fallback = "ByteLevel" in decoding, "ByteFallback" in decoding
    continued = tokenizer.model.continuing_subword_prefix if isinstance(tokenizer.model, models.WordPiece) else ""
    # WordPiece replaces its prefix when it decodes; others that replace write a space for its sign.
    spaced = not continued and ("Replace" in decoding or "Metaspace" in decoding)
    byte_of = byte_alphabet() if by_byte else {}
    for token, index in vocabulary.items():
        if token in special:
            continue
        if by_byte and byte_of.keys() >= set(token):
            spellings[index] = bytes(byte_of[character] for character in token)
        elif fallback and _BYTE.fullmatch(token):
            spellings[index] = bytes([int(token[3:5], 16)])
        else:
            plain = token.removeprefix(continued) if continued else token
            spellings[index] = (plain.replace(SPACE, " ") if spaced else plain).encode()
    return spellings


CONTINUES, GOES_ON = 1, 2  # flags of a token: its first character may go on a word, its last one may be gone on from


def word_joins(tokenizer: Tokenizer, spellings: Sequence[bytes]) -> NDArray[np.uint8]:
    """Return the flags of each token. A token goes on the word of the one before if that `GOES_ON` and it `CONTINUES`.

    Words are runs of letters, digits and what is combined with them, so a mark is a word of its own. Bytes that are part of a character
    count as letters. Of WordPiece only the tokens that it writes as the rest of a word go on one, since others may stand after a space.
    """
    from tokenizers import models

    prefix = tokenizer.model.continuing_subword_prefix if isinstance(tokenizer.model, models.WordPiece) else ""
    flags = np.zeros(len(spellings), dtype=np.uint8)
    for index, spelling in enumerate(spellings):
        if text := spelling.decode("utf-8", "replace"):
            first = _in_word(text[0]) and str(tokenizer.id_to_token(index)).startswith(prefix)
            flags[index] = CONTINUES * first + GOES_ON * _in_word(text[-1])
    return flags


def _in_word(character: str) -> bool:
    return character.isalnum() or character == "\ufffd" or unicodedata.category(character).startswith("M")


def decoding_steps(tokenizer: Tokenizer) -> list[str]:
    """Return the kinds of a tokenizer's decoding steps."""
    decoder = json.loads(tokenizer.to_str())["decoder"] or {}
    return [step["type"] for step in decoder.get("decoders", [decoder]) if step]


def chunking(tokenizer: Tokenizer) -> Cut:
    """Return how to cut texts for a foreign tokenizer, so the chunks' tokens equal the text's.

    Its words may hold a mark and the line end after it, but none begins within "e w": a cut is made before a space with letters around it.
    A tokenizer that puts a space before every text gets texts whole.
    """
    return (lambda text: (text,)) if "Replace" in decoding_steps(tokenizer) else (lambda text: chunks(text, _BETWEEN_WORDS))


def byte_counts(spellings: list[bytes]) -> NDArray[np.int64]:
    """Return the UTF-8 bytes of each token, int64 [vocab_size]; 0 for special tokens and for `<|unk|>`, which has no fixed size."""
    return np.array([len(spelling) for spelling in spellings], dtype=np.int64)


def byte_alphabet() -> dict[str, int]:
    """Return the byte of each character of byte-level tokens: GPT-2's alphabet, in which every byte has a visible character."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {chr(256 + number): byte for number, byte in enumerate(hidden)}


def batches(texts: Iterable[tuple[Owner, str]], cut: Cut = chunks) -> Iterator[list[tuple[Owner, str]]]:
    """Yield (owner, chunk) for each (owner, text), in batches of about BATCH_CHARACTERS; an empty text is one empty chunk."""
    batch: list[tuple[Owner, str]] = []
    size = 0
    for owner, text in texts:
        for chunk in cut(text) if text else ("",):
            batch.append((owner, chunk))
            size += len(chunk) + 64
            if size >= BATCH_CHARACTERS:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch
