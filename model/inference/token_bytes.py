"""The bytes that each token stands for, which need not be whole characters."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer


SPACE = "\u2581"
"""What SentencePiece's tokens have for a space."""


class TokenBytes:
    """Looks tokens up in one tokenizer."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        from tokenizers import decoders

        self._tokenizer = tokenizer
        self._byte_level = isinstance(tokenizer.decoder, decoders.ByteLevel)
        self._special = set(tokenizer.get_added_tokens_decoder())
        # A decoder drops the space at the beginning of a text, which every token is that is decoded alone.
        self._spaced = tokenizer.decode([space]) == "" if (space := tokenizer.token_to_id(SPACE)) is not None else False

    def of(self, token: int) -> bytes:
        """Return the bytes of a token; for a special token, of its name."""
        name = self._tokenizer.id_to_token(token) or ""
        if token in self._special:
            return name.encode()
        if self._byte_level:
            known = byte_characters()
            return bytes(known[character] for character in name if character in known)
        if len(name) == 6 and name.startswith("<0x"):
            return bytes([int(name[3:5], 16)])
        return (name.replace(SPACE, " ") if self._spaced else str(self._tokenizer.decode([token]))).encode()


@lru_cache(maxsize=1)
def byte_characters() -> dict[str, int]:
    """Return the byte for each character of a byte-level token, in GPT-2's mapping, which keeps printable bytes."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [value for value in range(256) if value not in printable]
    return {chr(value): value for value in printable} | {chr(256 + number): value for number, value in enumerate(others)}
