"""A function that reads, as a stream."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import IO, Any, cast

BUFFER = 1 << 16


class _Read(io.RawIOBase):
    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def stream_of(read: Callable[[int], bytes]) -> io.BufferedReader:
    """A buffered stream; `read` is given how many bytes are wanted at most, and gives none at the end."""
    return io.BufferedReader(_Read(read), BUFFER)


def buffered(stream: IO[bytes]) -> io.BufferedReader:
    """The stream itself when it can be looked into without being read, else one that can."""
    return stream if isinstance(stream, io.BufferedReader) else stream_of(cast(Callable[[int], bytes], stream.read))
