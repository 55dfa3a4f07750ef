"""A reply as text while it is written: whole characters, and an end before any of its stop strings.

Decode a stream of tokens to text, in whole characters.

The results of `push` and `finish`, joined, equal the text of all tokens decoded at once, and no result ends inside a character. Bytes that
form no character become U+FFFD, as in decoding at once. With a byte-fallback tokenizer, a run of single-byte tokens is held back until it
has ended: its decoder takes the run as a whole, and one wrong byte turns all of it into U+FFFD.

Cost: each push decodes the whole reply again, about a tenth of a millisecond at a thousand tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNFINISHED = "\ufffd"


class TextStream:
    """Decode one reply, without special tokens.

    `text`: the tokens that the reply goes on from, since some tokenizers drop a space at the beginning of what they decode.
    """

    def __init__(self, tokenizer: Tokenizer, text: Sequence[int] = ()) -> None:
        self._tokenizer = tokenizer
        self._byte_tokens = _byte_tokens(tokenizer)
        # The last token, and the run of bytes that it may end.
        apart = next((place for place in range(len(text) - 1, -1, -1) if text[place] not in self._byte_tokens), 0)
        self._ids = list(text[apart:])
        self._returned = len(self._decode())

    def push(self, token: int) -> str:
        """Return the text that became final with this token; empty while a character is incomplete."""
        self._ids.append(token)
        if token in self._byte_tokens:
            return ""
        # Decoding marks an incomplete character at the end with U+FFFD; no later token changes what precedes it.
        return self._take(self._decode().rstrip(UNFINISHED))

    def finish(self) -> str:
        """Return what was held back: nothing, or U+FFFD for bytes that stayed incomplete."""
        return self._take(self._decode())

    def _take(self, text: str) -> str:
        new = text[self._returned :]
        self._returned = max(self._returned, len(text))
        return new

    def _decode(self) -> str:
        return self._tokenizer.decode(self._ids, skip_special_tokens=True)


def _byte_tokens(tokenizer: Tokenizer) -> frozenset[int]:
    """Return the tokens that can occur within a run of bytes: single-byte tokens, and special tokens, which add no text."""
    letter = tokenizer.token_to_id("<0x41>")
    if letter is None or tokenizer.decode([letter]) != "A":
        return frozenset()
    ids = (tokenizer.token_to_id(f"<0x{value:02X}>") for value in range(256))
    return frozenset(token for token in ids if token is not None) | frozenset(tokenizer.get_added_tokens_decoder())


class ReplyText:
    """Takes tokens, gives text. What may be the beginning of a stop string is held back until it is decided.

    stopped: whether a stop string has been met; it is not part of the text.
    """

    def __init__(self, stream: TextStream, stop_strings: Sequence[str] = ()) -> None:
        self._stream, self._stop_strings = stream, [stop for stop in stop_strings if stop]
        self._held, self.stopped = "", False

    def push(self, token: int) -> str:
        """Return the text that became final with this token."""
        return "" if self.stopped else self._take(self._stream.push(token), last=False)

    def finish(self) -> str:
        """Return what was held back."""
        return "" if self.stopped else self._take(self._stream.finish(), last=True)

    def _take(self, new: str, *, last: bool) -> str:
        text = self._held + new
        places = [place for stop in self._stop_strings if (place := text.find(stop)) >= 0]
        if places:
            self.stopped, self._held = True, ""
            return text[: min(places)]
        kept = 0 if last else max((_beginning(text, stop) for stop in self._stop_strings), default=0)
        self._held = text[len(text) - kept :]
        return text[: len(text) - kept]


def _beginning(text: str, stop: str) -> int:
    """Return how many characters at the end of a text are the beginning of a stop string."""
    return next((count for count in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:count])), 0)
