"""Plain text: the bytes, decoded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from data.sources.decode import decode
from data.sources.readers.record import Found, Options, Record, Wanted, whole


def read_text(stream: IO[bytes], options: Options, wanted: Wanted) -> Iterator[Found]:
    """One record."""
    text, encoding = decode(whole(stream, options), options.encoding)
    yield Record(text, encoding=encoding)
