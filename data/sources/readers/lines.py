"""Lines of text out of a stream of any length and encoding.

Guarantees: memory holds one line, and of a line that is too long its beginning. The encoding is found out from the first 64 KB; in one
that is detected, a byte that doesn't fit is read as Windows-1252, in one that the recipe names the line is marked as broken.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import IO, NamedTuple

from data.sources.decode import SAMPLE, decode
from data.sources.readers.record import Options
from data.sources.streams import stream_of

UNDECODED = re.compile("[\udc80-\udcff\ufffd]")


class Line(NamedTuple):
    """A line with its end, its number from 1, and why it can't be used, if so."""

    text: str
    number: int
    fault: str = ""


def lines_of(stream: IO[bytes], options: Options) -> tuple[Iterator[Line], str]:
    """The lines, and the name of their encoding. Raises NotText for what is no text."""
    head = stream.read(SAMPLE)
    whole = len(head) < SAMPLE
    # A character may be cut in two at the sample's end.
    sample = head if whole else head[: (head.rfind(b"\n") + 1 or len(head)) // 4 * 4]
    encoding = decode(sample, options.encoding)[1].removesuffix("+cp1252")
    rest = io.BytesIO(head)
    opened = stream_of(lambda wanted: rest.read(wanted) or stream.read(wanted))
    lenient = options.encoding == "detect"
    wide = encoding.startswith("utf-16") or encoding.startswith("utf-32")
    errors = "replace" if wide else "folio-strays" if lenient else "surrogateescape"
    # A mark at the beginning is no part of the text.
    codec = "utf-8-sig" if encoding.replace("_", "-").lower() in ("utf-8", "utf8") else encoding
    text = io.TextIOWrapper(opened, codec, errors=errors, newline="\n")
    return _lines(text, options.limit, encoding, wide or not lenient), encoding


def _lines(stream: io.TextIOWrapper, limit: int, encoding: str, strict: bool) -> Iterator[Line]:
    number = 0
    while line := stream.readline(limit + 1):
        number += 1
        fault = ""
        if len(line) > limit and not line.endswith("\n"):
            size, end = len(line), ""
            while not end.endswith("\n") and (end := stream.readline(1 << 20)):
                size += len(end)
            fault = f"too large: a line of {size} characters, the limit is {limit}"
        elif strict and (odd := UNDECODED.search(line)):
            fault = f"not {encoding}: at character {odd.start() + 1} of the line"
        yield Line(line, number, fault)
