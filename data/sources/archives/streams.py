"""Turns a read function into a buffered stream."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import IO, Any, cast

BUFFER = 1 << 16


class _RawReader(io.RawIOBase):
    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def stream_from(read: Callable[[int], bytes]) -> io.BufferedReader:
    """Return a buffered stream over `read`, which takes a maximum size and returns b"" at the end."""
    return io.BufferedReader(_RawReader(read), BUFFER)


def buffered(stream: IO[bytes]) -> io.BufferedReader:
    """Return the stream itself if it supports `peek`, else a buffered one over it."""
    return stream if isinstance(stream, io.BufferedReader) else stream_from(cast(Callable[[int], bytes], stream.read))
