"""A reply as text while it is written: whole characters, and an end before any of its stop strings."""

from __future__ import annotations

from collections.abc import Sequence

from model.inference.text_stream import TextStream


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
