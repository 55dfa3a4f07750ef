"""Lines of text from a stream of any length and encoding.

Memory holds one line, or the beginning of one that is too long. The encoding is detected from the first 64 KB; a byte that doesn't fit a
detected encoding is read as Windows-1252, one that doesn't fit the recipe's encoding marks its line as broken.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import IO, NamedTuple

from data.sources.archives.streams import stream_from
from data.sources.decode import SAMPLE, decode
from data.sources.readers.parsing.record import ReaderOptions

UNDECODED = re.compile("[\udc80-\udcff\ufffd]")


class TextLine(NamedTuple):
    """A line with its line end, its number from 1, and why it can't be used, else ""."""

    text: str
    number: int
    fault: str = ""


def read_lines(stream: IO[bytes], options: ReaderOptions) -> tuple[Iterator[TextLine], str]:
    """Return the lines and the name of their encoding. Raise NotText for binary content."""
    head = stream.read(SAMPLE)
    complete = len(head) < SAMPLE
    # The sample may end inside a character.
    sample = head if complete else head[: (head.rfind(b"\n") + 1 or len(head)) // 4 * 4]
    encoding = decode(sample, options.encoding)[1].removesuffix("+cp1252")
    rest = io.BytesIO(head)
    rejoined = stream_from(lambda wanted: rest.read(wanted) or stream.read(wanted))
    lenient = options.encoding == "detect"
    wide = encoding.startswith("utf-16") or encoding.startswith("utf-32")
    errors = "replace" if wide else "folio-strays" if lenient else "surrogateescape"
    # A byte order mark is not part of the text.
    codec = "utf-8-sig" if encoding.replace("_", "-").lower() in ("utf-8", "utf8") else encoding
    text = io.TextIOWrapper(rejoined, codec, errors=errors, newline="\n")
    return _lines(text, options.limit, encoding, wide or not lenient), encoding


def _lines(stream: io.TextIOWrapper, limit: int, encoding: str, strict: bool) -> Iterator[TextLine]:
    number = 0
    while line := stream.readline(limit + 1):
        number += 1
        fault = ""
        if len(line) > limit and not line.endswith("\n"):
            size, end = len(line), ""
            while not end.endswith("\n") and (end := stream.readline(1 << 20)):
                size += len(end)
            fault = f"too large: a line of {size} characters, the limit is {limit}"
        elif strict and (undecoded := UNDECODED.search(line)):
            fault = f"not {encoding}: at character {undecoded.start() + 1} of the line"
        yield TextLine(line, number, fault)
