"""Subtitles (SubRip, WebVTT, SubStation Alpha and others that pysubs2 knows): what is said, a line for each, without times and styles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from data.sources.decode import decode
from data.sources.errors import Unreadable
from data.sources.readers.record import ReaderOptions, ReaderOutput, Record, RecordFilter, read_whole


def read_subtitles(stream: IO[bytes], options: ReaderOptions, wanted: RecordFilter) -> Iterator[ReaderOutput]:
    """Yield one record."""
    import pysubs2

    source, encoding = decode(read_whole(stream, options), options.encoding)
    try:
        events = [event for event in pysubs2.SSAFile.from_string(source) if not event.is_comment and not event.is_drawing]
    except (pysubs2.exceptions.Pysubs2Error, ValueError) as error:
        raise Unreadable(f"damaged subtitles: {error}") from error
    lines = [line.strip() for event in events for line in event.plaintext.split("\n")]
    text = "\n".join(line for line in lines if line)
    if not text:
        raise Unreadable("no text: nobody says anything")
    yield Record(text, encoding=encoding)
