"""Plain text: the decoded bytes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from data.sources.decode import decode
from data.sources.readers.parsing.record import ReaderOptions, ReaderOutput, Record, RecordFilter, read_whole


def read_text(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield one record."""
    text, encoding = decode(read_whole(stream, options), options.encoding)
    yield Record(text, encoding=encoding)
