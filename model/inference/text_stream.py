"""Tokens in, text out, as they come: whole characters only.

Guarantee: what `push` gives out, joined, plus `finish`, is the text of all tokens decoded at once; no piece ends inside a
character, and every piece is valid UTF-8. Bytes that no character can come of are shown as U+FFFD, as decoding does.
A tokenizer that spells what it lacks in tokens of one byte shows such a run once it has ended: its decoder takes the run as a
whole, and one byte too many makes all of it U+FFFD.
Cost: each push decodes the whole reply again: about a tenth of a millisecond at a thousand tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNFINISHED = "\ufffd"


class TextStream:
    """Decodes one reply. Special tokens give no text."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._held = _spelling(tokenizer)
        self._ids: list[int] = []
        self._given = 0

    def push(self, token: int) -> str:
        """The text that became certain with this token; empty while a character is incomplete."""
        self._ids.append(token)
        if token in self._held:
            return ""
        # Decoding marks an incomplete character at the end with U+FFFD; what stands before it no later token changes.
        return self._give(self._decode().rstrip(UNFINISHED))

    def finish(self) -> str:
        """What was held back: empty, or U+FFFD for bytes that stayed incomplete."""
        return self._give(self._decode())

    def _give(self, text: str) -> str:
        new = text[self._given :]
        self._given = max(self._given, len(text))
        return new

    def _decode(self) -> str:
        return self._tokenizer.decode(self._ids, skip_special_tokens=True)


def _spelling(tokenizer: Tokenizer) -> frozenset[int]:
    """The tokens after which a run of bytes may go on: those of one byte, and special ones, which leave no gap in the text."""
    from tokenizers import decoders

    if not isinstance(tokenizer.decoder, decoders.ByteFallback):
        return frozenset()
    places = (tokenizer.token_to_id(f"<0x{value:02X}>") for value in range(256))
    return frozenset(place for place in places if place is not None) | frozenset(tokenizer.get_added_tokens_decoder())
